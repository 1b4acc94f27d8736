//! Native attackers in the guest's place.
use crate::acts::Stage;
pub(crate) fn attack(_n: u32, _s: &Stage) -> String { String::new() }
pub(crate) fn sweep(_n: u32) {}
pub(crate) fn flip(_n: u32, _s: &Stage) {}
