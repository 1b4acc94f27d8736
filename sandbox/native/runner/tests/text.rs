//! The executable's own code, made private.

use gatebus_sandbox::text::{forget, inherit};

/// Of the mapping with this address: its permissions, and KiB of it that are private pages.
fn mapping(address: usize) -> Option<(String, u64)> {
    let text = std::fs::read_to_string("/proc/self/smaps").ok()?;
    let mut lines = text.lines().skip_while(|line| !holds(line, address));
    let permissions = lines.next()?.split(' ').nth(1)?.to_owned();
    let anonymous = lines.find_map(|line| line.strip_prefix("Anonymous:"))?;
    Some((permissions, anonymous.split_whitespace().next()?.parse().ok()?))
}

fn holds(line: &str, address: usize) -> bool {
    let range = line.split(' ').next().and_then(|range| range.split_once('-'));
    let numbers =
        range.and_then(|(from, to)| Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?)));
    numbers.is_some_and(|(from, to)| (from..to).contains(&address))
}

#[test]
fn code_stays_executable_and_unwritable_in_one_mapping_and_one_page_of_it_is_private() {
    let ours = forget as *const () as usize;
    assert_eq!(mapping(ours), Some(("r-xp".to_owned(), 0)));
    forget();
    assert!(inherit());
    assert_eq!(mapping(ours), Some(("r-xp".to_owned(), 4)));
}
