use super::*;
use crate::{At, Follow, Open};

const LIMITS: Limits = Limits { bytes: 1 << 20, names: 100, open: 16 };
const OPEN: Open = Open { write: true, create: true, ..Open::existing(Follow::Links) };

fn at(files: &Files, path: &'static str) -> At<'static> {
    At { base: files.root(), path }
}

/// Everything that there can be: hard links, holes, symbolic links, removed but open files and directories, gaps of
/// serial numbers and cookies. And who holds what.
fn furnished() -> (Files, Vec<Id>) {
    let mut files = Files::new(LIMITS, 7);
    for (time, path) in [(8, "d"), (9, "d/e"), (10, "gone"), (11, "empty")] {
        files.make_directory(at(&files, path), time).expect("made");
    }
    let one = files.open(at(&files, "d/one"), OPEN, 20).expect("made");
    files.write_at(one, 0, b"hello", 21).expect("written");
    files.link(at(&files, "d/one"), at(&files, "d/e/two"), 22).expect("linked");
    let hole = files.open(at(&files, "hole"), OPEN, 30).expect("made");
    files.write_at(hole, 3 * 65_536 + 5, b"end\0\0", 31).expect("written");
    files.write_at(hole, 65_536, b"a later chunk", 32).expect("written");
    let lost = files.open(at(&files, "lost"), OPEN, 40).expect("made");
    files.write_at(lost, 3, b"only open", 41).expect("written");
    files.unlink(at(&files, "lost"), 42).expect("removed");
    let gone = files.open(at(&files, "gone"), Open::existing(Follow::Links), 50).expect("opened");
    files.remove_directory(at(&files, "gone"), 51).expect("removed");
    files.symlink("../somewhere", at(&files, "d/l"), 60).expect("made");
    let held = vec![files.root(), files.root(), one, hole, lost, gone];
    files.hold(held[0]).expect("held");
    files.hold(held[0]).expect("held");
    (files, held)
}

fn saved(files: &Files, held: &[Id]) -> (Vec<u8>, Vec<u32>) {
    let order = files.order();
    let place = |id: &Id| u32::try_from(order.iter().position(|other| other == id).expect("alive")).expect("small");
    (files.save(&order, Writer::default()).done(), held.iter().map(place).collect())
}

fn restored(bytes: &[u8], limits: Limits, held: &[u32]) -> Checked<Files> {
    let mut fields = Reader::new(bytes);
    let files = Files::restore_untrusted(&mut fields, limits, held)?;
    fields.end()?;
    Ok(files)
}

#[test]
fn a_saved_file_system_is_the_same_again() {
    let (files, held) = furnished();
    let (bytes, places) = saved(&files, &held);
    let again = restored(&bytes, LIMITS, &places).expect("what was saved");
    let ids: Vec<_> = places.iter().map(|place| again.restored(*place).expect("there").0).collect();
    assert!(saved(&again, &ids) == (bytes, places));
    assert_eq!((again.bytes(), again.names()), (files.bytes(), files.names()));
    for (before, after) in held.iter().zip(&ids) {
        assert_eq!(files.stat(*before), again.stat(*after));
    }
    let mut content = [9; 12];
    assert_eq!(again.read_at(ids[4], 0, &mut content), Ok(12));
    assert_eq!(&content, b"\0\0\0only open");
    assert_eq!(again.read_link(at(&again, "d/l")), Ok("../somewhere"));
}

#[test]
fn a_restored_file_system_goes_on_as_the_old_one_would() {
    let (mut files, held) = furnished();
    let (bytes, places) = saved(&files, &held);
    let mut again = restored(&bytes, LIMITS, &places).expect("what was saved");
    let twins = places.iter().map(|place| again.restored(*place).expect("there").0).collect::<Vec<_>>();
    for (files, held) in [(&mut files, &held), (&mut again, &twins)] {
        files.close(held[4]);
        files.close(held[5]);
        files.unlink(at(files, "d/one"), 70).expect("removed");
        files.rename(at(files, "d/e"), at(files, "empty"), 71).expect("moved");
        files.write_at(held[2], 5, b" again", 72).expect("written");
        files.set_size(held[3], 65_540, 73).expect("cut");
        files.open(at(files, "new"), OPEN, 74).expect("made");
    }
    let (left, right) = (saved(&files, &held[..4]).0, saved(&again, &twins[..4]).0);
    assert!(left == right);
    assert_eq!((files.bytes(), files.names()), (again.bytes(), again.names()));
    let listed = |files: &Files| {
        let mut cookies: Vec<(u64, u64, Arc<str>)> = vec![];
        while let Ok(Some(entry)) = files.entry_after(files.root(), cookies.last().map_or(0, |(cookie, ..)| *cookie)) {
            cookies.push((entry.cookie, entry.serial, entry.name));
        }
        cookies
    };
    assert_eq!(listed(&files), listed(&again));
}

#[test]
fn the_bytes_do_not_depend_on_how_the_content_was_written() {
    let mut one = Files::new(LIMITS, 0);
    let id = one.open(at(&one, "f"), OPEN, 1).expect("made");
    one.write_at(id, 0, &[0; 100_000], 2).expect("written");
    one.write_at(id, 70_000, b"x", 2).expect("written");
    one.close(id);
    let mut other = Files::new(LIMITS, 0);
    let id = other.open(at(&other, "f"), OPEN, 1).expect("made");
    other.write_at(id, 70_000, b"x", 2).expect("written");
    other.set_size(id, 100_000, 2).expect("grown");
    other.close(id);
    assert!(saved(&one, &[]) == saved(&other, &[]));
    assert!(saved(&one, &[]).0.len() < 5_000, "zeros cost nothing");
}

#[test]
fn a_state_cut_short_anywhere_is_refused() {
    let (files, held) = furnished();
    let (bytes, places) = saved(&files, &held);
    for length in 0..bytes.len() {
        assert!(restored(&bytes[..length], LIMITS, &places).is_err(), "{length}");
    }
    assert!(restored(&[&bytes[..], b"\0"].concat(), LIMITS, &places).is_err());
}

#[test]
fn every_corrupt_byte_is_refused_or_means_exactly_what_it_says() {
    let (files, held) = furnished();
    let (bytes, places) = saved(&files, &held);
    let mut refused = 0;
    for at in 0..bytes.len() {
        for flip in [1, 2, 0x10, 0x80, 0xff] {
            let mut corrupt = bytes.clone();
            corrupt[at] ^= flip;
            let Ok(again) = restored(&corrupt, LIMITS, &places) else {
                refused += 1;
                continue;
            };
            let ids: Vec<_> = places.iter().map(|place| again.restored(*place).expect("there").0).collect();
            assert!(saved(&again, &ids).0 == corrupt, "byte {at}");
            assert!(again.bytes() <= LIMITS.bytes && again.names() <= LIMITS.names);
        }
    }
    assert!(refused > bytes.len(), "{refused}");
}

#[test]
fn limits_are_those_of_whoever_goes_on() {
    let (files, held) = furnished();
    let (bytes, places) = saved(&files, &held);
    let exact = Limits { bytes: files.bytes(), names: files.names(), open: 6 };
    assert!(restored(&bytes, exact, &places).is_ok());
    let refusal = |limits: Limits| restored(&bytes, limits, &places).expect_err("over the limit").0;
    assert_eq!(refusal(Limits { bytes: exact.bytes - 1, ..exact }), "more bytes in files than the limit");
    assert_eq!(refusal(Limits { names: exact.names - 1, ..exact }), "more files and directories than the limit");
    assert_eq!(refusal(Limits { open: 5, ..exact }), "more open files than the limit");
    assert_eq!(refusal(Limits { bytes: 1000, ..exact }), "more bytes in files than the limit");
}

/// Fields of one node, as a forger writes them.
fn node(serial: u64, kind: u8, count: u32, rest: &[u8]) -> Vec<u8> {
    let head = Writer::default().u64(serial).u8(kind).bytes(&[0; 3]).u32(count).u64(0).u64(0).u64(0);
    head.bytes(rest).done()
}

fn entry(cookie: u64, place: u32, name: &str) -> Vec<u8> {
    let len = u8::try_from(name.len()).expect("small");
    Writer::default().u64(cookie).u32(place).u8(len).bytes(name.as_bytes()).done()
}

fn directory(serial: u64, next: u64, entries: &[Vec<u8>]) -> Vec<u8> {
    let count = u32::try_from(entries.len()).expect("small");
    node(serial, 3, count, &[&next.to_le_bytes()[..], &entries.concat()].concat())
}

fn file(serial: u64, size: u64, pieces: &[(u64, &[u8])]) -> Vec<u8> {
    let rest = pieces.iter().fold(Writer::default().u64(size), |into, (index, bytes)| {
        into.u64(*index).u32(u32::try_from(bytes.len()).expect("small")).bytes(bytes)
    });
    node(serial, 4, u32::try_from(pieces.len()).expect("small"), &rest.done())
}

fn forged(nodes: &[Vec<u8>], held: &[u32]) -> Checked<Files> {
    let head = Writer::default().u64(100).u32(u32::try_from(nodes.len()).expect("small"));
    restored(&head.bytes(&nodes.concat()).done(), LIMITS, held)
}

#[test]
fn what_is_no_tree_is_refused() {
    let root = |entries: &[Vec<u8>]| directory(1, 50, entries);
    let (a, b) = (entry(3, 1, "a"), entry(4, 2, "b"));
    assert!(forged(&[root(std::slice::from_ref(&a)), file(2, 0, &[])], &[]).is_ok());
    type Forged<'a> = (&'a [Vec<u8>], &'a [u32], &'static str);
    let refused: [Forged<'_>; 18] = [
        (&[], &[], "a node that is not there"),
        (&[file(1, 0, &[])], &[], "the root is no directory"),
        (&[root(&[]), file(2, 0, &[])], &[], "a node without a name is not open"),
        (&[root(std::slice::from_ref(&a)), file(2, 0, &[])], &[2], "a node that is not there"),
        (&[root(std::slice::from_ref(&a)), file(1, 0, &[])], &[], "nodes out of order"),
        (&[root(std::slice::from_ref(&a)), file(100, 0, &[])], &[], "nodes out of order"),
        (&[root(&[a.clone(), b.clone()]), file(2, 0, &[])], &[], "a directory has an impossible entry"),
        (&[root(&[entry(3, 0, "a")])], &[], "a directory has an impossible entry"),
        (&[root(&[a.clone(), entry(3, 1, "c")]), file(2, 0, &[])], &[], "a directory has an impossible entry"),
        (&[root(&[a.clone(), entry(4, 1, "a")]), file(2, 0, &[])], &[], "a directory has an impossible entry"),
        (&[root(&[entry(50, 1, "a")]), file(2, 0, &[])], &[], "a directory has an impossible entry"),
        (&[root(&[entry(2, 1, "a")]), file(2, 0, &[])], &[], "a directory has an impossible entry"),
        (&[root(&[a.clone(), entry(4, 1, "c")]), directory(2, 3, &[])], &[], "a directory with two names"),
        (
            &[root(&[]), directory(2, 9, &[entry(3, 2, "c")]), directory(3, 9, &[entry(3, 1, "p")])],
            &[],
            "a directory that nothing leads to",
        ),
        (&[root(&[]), directory(2, 9, &[entry(3, 2, "c")]), file(3, 0, &[])], &[1], "a removed directory has entries"),
        (&[root(std::slice::from_ref(&a)), file(2, 1 << 63, &[])], &[], "a file has an impossible size"),
        (&[root(std::slice::from_ref(&a)), file(2, 2, &[(0, b"abc")])], &[], "a file has an impossible size"),
        (&[root(std::slice::from_ref(&a)), node(2, 5, 0, &[])], &[], "unknown type of node"),
    ];
    for (nodes, held, text) in refused {
        assert_eq!(forged(nodes, held).map(|_| ()), Err(Malformed(text)));
    }
}

#[test]
fn names_targets_and_pieces_that_cannot_be_are_refused() {
    for name in ["", ".", "..", "a/b", "a\0"] {
        let found = forged(&[directory(1, 50, &[entry(3, 1, name)]), file(2, 0, &[])], &[]);
        assert_eq!(found.map(|_| ()), Err(Malformed("a name that no entry can have")), "{name:?}");
    }
    for target in [&b""[..], b"a\0b", &[b'x'; 4097]] {
        let link = node(2, 7, u32::try_from(target.len()).expect("small"), target);
        let found = forged(&[directory(1, 50, &[entry(3, 1, "l")]), link], &[]);
        assert_eq!(found.map(|_| ()), Err(Malformed("a target that no link can have")));
    }
    let full = vec![1; 65_537];
    let pieces: [&[(u64, &[u8])]; 5] =
        [&[(0, b"")], &[(0, b"a\0")], &[(0, &full)], &[(1, b"a"), (0, b"b")], &[(1 << 60, b"a")]];
    for pieces in pieces {
        let found = forged(&[directory(1, 50, &[entry(3, 1, "f")]), file(2, 1 << 19, pieces)], &[]);
        assert_eq!(found.map(|_| ()), Err(Malformed("a file has an impossible piece")), "{pieces:?}");
    }
}
