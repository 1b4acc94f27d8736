use super::*;

fn bytes(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|index| u8::try_from(index % 251).expect("small") ^ seed).collect()
}

fn all(content: &Content) -> Vec<u8> {
    let mut into = vec![0xaa; usize::try_from(content.size()).expect("small")];
    assert_eq!(content.read_at(0, &mut into), into.len());
    into
}

#[test]
fn a_new_file_is_empty() {
    let content = Content::default();
    assert_eq!((content.size(), content.held()), (0, 0));
    assert_eq!(content.read_at(0, &mut [0; 8]), 0);
    assert_eq!(content.read_at(u64::MAX, &mut [0; 8]), 0);
}

#[test]
fn what_is_written_is_read_at_every_border_of_chunks() {
    for start in [0, 1, 255, 256, 65_535, 65_536, 65_537, 131_071, 200_000] {
        for len in [1, 2, 255, 4096, 65_535, 65_536, 65_537, 140_000] {
            let mut content = Content::default();
            let data = bytes(len, 7);
            content.write_at(start as u64, &data).expect("written");
            let mut expected = vec![0; start];
            expected.extend(&data);
            assert_eq!(all(&content), expected, "{start} {len}");
        }
    }
}

#[test]
fn a_read_ends_at_the_end() {
    let mut content = Content::default();
    content.write_at(0, &bytes(70_000, 0)).expect("written");
    let mut into = [0; 100];
    assert_eq!(content.read_at(69_950, &mut into), 50);
    assert_eq!(into[..50], bytes(70_000, 0)[69_950..]);
    assert_eq!(content.read_at(70_000, &mut into), 0);
}

#[test]
fn holes_cost_nothing_and_read_as_zeros() {
    let mut content = Content::default();
    content.write_at(1 << 40, b"end").expect("written");
    assert_eq!(content.size(), (1 << 40) + 3);
    assert!(content.held() <= 256);
    let mut into = [0xaa; 64];
    assert_eq!(content.read_at(1 << 30, &mut into), 64);
    assert_eq!(into, [0; 64]);
    content.set_size(1 << 50);
    assert_eq!(content.read_at((1 << 40) + 1, &mut into), 64);
    assert_eq!(&into[..2], b"nd");
    assert_eq!(into[2..], [0; 62]);
}

#[test]
fn what_was_cut_off_does_not_come_back() {
    for cut in [0, 1, 300, 65_535, 65_536, 65_537, 100_000] {
        let mut content = Content::default();
        content.write_at(0, &bytes(140_000, 9)).expect("written");
        content.set_size(cut as u64);
        content.set_size(140_000);
        let mut expected = bytes(140_000, 9);
        expected[cut..].fill(0);
        assert_eq!(all(&content), expected, "{cut}");
    }
}

#[test]
fn storage_is_at_most_twice_the_size_also_after_cutting() {
    let mut content = Content::default();
    for step in 0..400u64 {
        content.write_at(step * 700, &bytes(700, 1)).expect("written");
        assert!(content.held() as u64 <= 2 * content.size() + 256, "{step}");
    }
    for size in [200_000, 70_000, 65_536, 65_535, 9_000, 300, 1, 0] {
        content.set_size(size);
        assert!(content.held() as u64 <= 4 * size + 512, "{size}: {}", content.held());
    }
    assert_eq!(content.held(), 0);
}

#[test]
fn overwriting_changes_only_its_own_bytes() {
    let mut content = Content::default();
    let mut expected = bytes(200_000, 3);
    content.write_at(0, &expected).expect("written");
    for (start, len) in [(0usize, 1usize), (65_530, 12), (65_536, 65_536), (199_999, 1), (100, 0)] {
        let piece = bytes(len, 0x55);
        content.write_at(start as u64, &piece).expect("written");
        expected[start..start + len].copy_from_slice(&piece);
        assert_eq!(all(&content), expected);
    }
}
