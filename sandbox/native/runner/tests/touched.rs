//! Which pages a program writes, and making them one's own.

use gatebus_sandbox::touched::{Before, Touched};
use std::sync::{Arc, Mutex};

#[test]
fn a_page_that_was_written_between_two_looks_is_found_and_keeps_its_content() {
    let mut held = vec![1u8; 64 << 10];
    let found = Arc::new(Mutex::new(Touched::default()));
    let before = Before::new(found.clone()).expect("memory for a copy");
    held[32 << 10] = 2;
    before.compare();
    let found = found.lock().expect("nobody else");
    let written = &raw const held[32 << 10] as usize;
    let untouched = &raw const held[16 << 10] as usize;
    assert!(found.contains(written));
    assert!(!found.contains(untouched));
    found.make_own();
    assert_eq!((held[32 << 10], held[16 << 10]), (2, 1));
}
