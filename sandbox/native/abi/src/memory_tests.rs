use super::*;

#[test]
fn pointers_are_checked_to_the_last_byte() {
    let mut memory = vec![1; 100];
    assert_eq!(bytes(&memory, 96, 4), Ok(&[1; 4][..]));
    for (pointer, len) in [(97, 4), (100, 1), (101, 1), (u32::MAX, 1), (1, u32::MAX), (u32::MAX, u32::MAX), (0, 101)] {
        assert_eq!(bytes(&memory, pointer, len), Err(Fault), "{pointer} {len}");
        assert_eq!(bytes_mut(&mut memory, pointer, len), Err(Fault), "{pointer} {len}");
    }
    for at in [93, 97, 99, 100, u32::MAX] {
        assert_eq!(get_u64(&memory, at), Err(Fault));
        assert_eq!(put_u64(&mut memory, at, 0), Err(Fault));
    }
    assert_eq!((get_u8(&memory, 99), get_u8(&memory, 100)), (Ok(1), Err(Fault)));
    assert!(get_u16(&memory, 98).is_ok() && get_u16(&memory, 99).is_err());
    assert!(get_u32(&memory, 96).is_ok() && get_u32(&memory, 97).is_err());
    assert_eq!(memory, vec![1; 100]);
}

#[test]
fn nothing_can_be_anywhere() {
    let mut memory = vec![0; 8];
    for pointer in [0, 8, 9, u32::MAX] {
        assert_eq!(bytes(&memory, pointer, 0), Ok(&[][..]));
        assert!(bytes_mut(&mut memory, pointer, 0).is_ok_and(|found| found.is_empty()));
        assert_eq!(put(&mut memory, pointer, b""), Ok(()));
    }
}

#[test]
fn numbers_are_little_endian() {
    let mut memory = vec![0; 16];
    put_u32(&mut memory, 1, 0x0403_0201).expect("inside");
    put_u64(&mut memory, 5, 0x0807_0605_0403_0201).expect("inside");
    assert_eq!(memory[..13], [0, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!((get_u32(&memory, 1), get_u64(&memory, 5)), (Ok(0x0403_0201), Ok(0x0807_0605_0403_0201)));
    assert_eq!(get_u16(&memory, 1), Ok(0x0201));
}

/// A memory whose list at 0 points to these buffers.
fn listed(buffers: &[(u32, u32)]) -> Vec<u8> {
    let mut memory = vec![0; 256];
    for (index, (at, len)) in buffers.iter().enumerate() {
        memory[index * 8..index * 8 + 4].copy_from_slice(&at.to_le_bytes());
        memory[index * 8 + 4..index * 8 + 8].copy_from_slice(&len.to_le_bytes());
    }
    for (index, byte) in memory.iter_mut().enumerate().skip(128) {
        *byte = u8::try_from(index).expect("small");
    }
    memory
}

#[test]
fn lists_of_buffers_are_checked_whole() {
    let memory = listed(&[(128, 10), (0, 256), (9999, 0)]);
    assert_eq!(buffers(&memory, 0, 3), Ok(266));
    assert_eq!(buffers(&memory, 77, 0), Ok(0));
    for (list, count) in [(0, 33), (250, 1), (u32::MAX, 1), (0, u32::MAX), (u32::MAX - 7, 2)] {
        assert_eq!(buffers(&memory, list, count), Err(Fault), "{list} {count}");
    }
    assert_eq!(buffers(&listed(&[(1, 1), (200, 57)]), 0, 2), Err(Fault));
    // Overlapping buffers may together be larger than all of the memory.
    assert_eq!(buffers(&listed(&[(0, 256); 16]), 0, 16), Ok(4096));
}

#[test]
fn a_cursor_gives_all_pieces_in_order_whatever_the_limit() {
    let memory = listed(&[(128, 10), (500, 0), (138, 1), (139, 21)]);
    let expected: Vec<u8> = (128..160).collect();
    for limit in 1..40 {
        let (mut cursor, mut found) = (Cursor::new(0, 4), Vec::new());
        while cursor.gather(&memory, limit, &mut found).expect("good") > 0 {}
        assert_eq!(found, expected, "{limit}");
        assert_eq!(cursor.next(&memory, 1), Ok(None));
    }
}

#[test]
fn a_list_that_changes_under_the_cursor_is_just_read_as_it_is() {
    let mut memory = listed(&[(128, 10), (138, 2)]);
    let mut cursor = Cursor::new(0, 2);
    assert_eq!(cursor.next(&memory, 5), Ok(Some(Buffer { pointer: 128, len: 5 })));
    memory[4] = 3;
    assert_eq!(cursor.next(&memory, 5), Ok(Some(Buffer { pointer: 138, len: 2 })));
    let mut cursor = Cursor::new(u32::MAX - 3, 1);
    assert_eq!(cursor.next(&memory, 5), Err(Fault));
    assert_eq!(Cursor::new(0, 1).next(&memory, 0), Ok(None));
}
