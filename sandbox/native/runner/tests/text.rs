//! The executable's own code, made private.

use gatebus_sandbox::text::Text;

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
fn code_stays_executable_and_unwritable_and_is_private_where_children_inherit_it() {
    let ours = Text::find as *const () as usize;
    assert_eq!(mapping(ours), Some(("r-xp".to_owned(), 0)));
    let text = Text::find();
    text.forget();
    let text = text.enlarge();
    assert!(text.inherit());
    let (permissions, private) = mapping(ours).expect("it is somewhere");
    // In a mapping of the file one page of each is; what was moved is whole.
    assert!(
        permissions == "r-xp" && (private == 4 || (private > 0 && private.is_multiple_of(2048))),
        "{permissions} {private}"
    );
    let writable = std::fs::read_to_string("/proc/self/maps").expect("ours");
    assert_eq!(writable.lines().find(|line| line.contains("wx")), None);
}
