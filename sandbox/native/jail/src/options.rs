//! Command lines: the keeper's, which people and Python write, and the spawner's, which the keeper writes.

use gatebus_wire::Layers;

/// Children that wait for a program, by default: two for each of two cores (measured: more do not shorten a start).
const POOL: usize = 4;
/// No pool is larger: a prepared child costs 0.2 MiB.
const POOL_MAX: usize = 64;
/// Starts after which a fresh spawner takes over: its children share one address layout.
const RENEW_AFTER: u32 = 1000;

/// What the keeper was asked to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeeperOptions {
    /// Prepared children.
    pub(crate) pool: usize,
    /// Layers without which the keeper refuses to be.
    pub(crate) require: Layers,
    /// Layers that are left off: for tests of the other layers.
    pub(crate) without: Layers,
    /// Starts after which the spawner is replaced.
    pub(crate) renew_after: u32,
}

impl Default for KeeperOptions {
    fn default() -> Self {
        KeeperOptions { pool: POOL, require: Layers::REQUIRED, without: Layers::NONE, renew_after: RENEW_AFTER }
    }
}

impl KeeperOptions {
    /// Reads the words after `keeper`. The error is one line for a person.
    pub(crate) fn parse(words: &[String]) -> Result<KeeperOptions, String> {
        let mut options = KeeperOptions::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let value = words.next().ok_or_else(|| format!("{word}: a value is missing"))?;
            match word.as_str() {
                "--pool" => options.pool = number(value)?.clamp(1, POOL_MAX),
                "--renew-after" => options.renew_after = u32::try_from(number(value)?.max(1)).unwrap_or(u32::MAX),
                "--require" => options.require = layers(value)?.with(options.require),
                "--without" => options.without = layers(value)?,
                _ => return Err(format!("{word}: unknown option")),
            }
        }
        options.require = options.require.without(options.without);
        Ok(options)
    }

    /// Every layer that shall be tried.
    pub(crate) fn wanted(&self) -> Layers {
        Layers::ALL.without(self.without)
    }
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text}: not a number"))
}

fn layers(text: &str) -> Result<Layers, String> {
    Layers::parse(text).map_err(|name| format!("{name}: no such layer"))
}

/// What a spawner's children become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Trade {
    /// Programs.
    Programs,
    /// Compile workers.
    Compiles,
    /// Programs of accounts that have had more than their part of the processors.
    Low,
}

/// What the spawner is told by its keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpawnerOptions {
    /// What its children become.
    pub(crate) trade: Trade,
    /// Layers that shall be on.
    pub(crate) wanted: Layers,
    /// Those of them that may be missing.
    pub(crate) optional: Layers,
}

impl SpawnerOptions {
    /// The command line, program name first.
    pub(crate) fn words(&self) -> Vec<String> {
        let trade = if self.trade == Trade::Compiles { "compiles" } else { "programs" };
        let words = ["gatebus-sandbox", "spawner", trade];
        let numbers = [self.wanted.0.to_string(), self.optional.0.to_string()];
        words.into_iter().map(str::to_owned).chain(numbers).collect()
    }

    /// The words after `spawner`.
    pub(crate) fn parse(words: &[String]) -> Option<SpawnerOptions> {
        let [trade, wanted, optional] = words else { return None };
        let trade = match trade.as_str() {
            "programs" => Trade::Programs,
            "compiles" => Trade::Compiles,
            _ => return None,
        };
        Some(SpawnerOptions { trade, wanted: Layers(wanted.parse().ok()?), optional: Layers(optional.parse().ok()?) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn without_words_everything_is_default() {
        assert_eq!(KeeperOptions::parse(&[]), Ok(KeeperOptions::default()));
        assert_eq!(KeeperOptions::default().wanted(), Layers::ALL);
    }

    #[test]
    fn layers_are_added_to_what_is_required_and_taken_from_what_is_wanted() {
        let options =
            KeeperOptions::parse(&words("--require landlock,cgroup --without seccomp --pool 7")).expect("good");
        assert_eq!(options.pool, 7);
        assert!(options.require.has(Layers::LANDLOCK.with(Layers::CGROUPS)));
        assert!(!options.require.has(Layers::SECCOMP) && !options.wanted().has(Layers::SECCOMP));
    }

    #[test]
    fn bad_words_are_refused_by_name() {
        let refusal = |text| KeeperOptions::parse(&words(text)).expect_err("bad");
        assert_eq!(refusal("--pool"), "--pool: a value is missing");
        assert_eq!(refusal("--pool x"), "x: not a number");
        assert_eq!(refusal("--without sekkomp"), "sekkomp: no such layer");
        assert_eq!(refusal("--jail 1"), "--jail: unknown option");
    }

    #[test]
    fn the_pool_has_bounds() {
        assert_eq!(KeeperOptions::parse(&words("--pool 0")).map(|o| o.pool), Ok(1));
        assert_eq!(KeeperOptions::parse(&words("--pool 9999")).map(|o| o.pool), Ok(POOL_MAX));
    }

    #[test]
    fn the_spawner_reads_what_the_keeper_writes() {
        for trade in [Trade::Programs, Trade::Compiles] {
            let options = SpawnerOptions { trade, wanted: Layers::ALL, optional: Layers::LANDLOCK };
            assert_eq!(SpawnerOptions::parse(&options.words()[2..]), Some(options));
        }
        assert_eq!(SpawnerOptions::parse(&words("programs 1")), None);
        assert_eq!(SpawnerOptions::parse(&words("weavers 1 2")), None);
    }
}
