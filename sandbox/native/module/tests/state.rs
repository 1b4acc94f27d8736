//! States and guides as bytes: what was written is read again, anything else is refused or means exactly what it says.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

use gatebus_module::{Frame, Global, Guide, Memory, PIECE, Phase, REFERENCES_MAX, Scalar, State, Suspendable, Table};

fn state() -> State {
    let mut second = vec![0; 2 << 16];
    second[PIECE * 3 + 5] = 9;
    second[(2 << 16) - 1] = 1;
    State {
        module: [0xab; 32],
        phase: Phase::Entry,
        entry: "_start".to_owned(),
        pages: 17,
        frames: vec![1, 0, 0, 0, 7, 7, 7, 7],
        references: vec![2, 1],
        globals: vec![
            Global { number: 0, ty: Scalar::I32, bits: 5 },
            Global { number: 3, ty: Scalar::V128, bits: u128::MAX },
            Global { number: 4, ty: Scalar::Function, bits: 0 },
        ],
        tables: vec![Table { number: 1, entries: vec![0, 2, 0, 1] }],
        dropped_data: vec![0, 4],
        dropped_elements: vec![2],
        memories: vec![Memory::of(&second), Memory::of(&[])],
        world: b"world".to_vec(),
    }
}

#[test]
fn what_was_written_is_read_again() {
    for (phase, call) in [(Phase::Start, "gatebus:start"), (Phase::Initialize, "_initialize"), (Phase::Entry, "_start")]
    {
        let state = State { phase, ..state() };
        assert_eq!(State::decode_untrusted(&state.encode()), Ok(state.clone()));
        assert_eq!(state.call(), call);
        assert_eq!(state.encode()[state.frames_at()..][..12], [8, 0, 0, 0, 1, 0, 0, 0, 7, 7, 7, 7]);
    }
}

#[test]
fn zeros_of_a_memory_are_not_written() {
    let memory = &state().memories[0];
    assert_eq!((memory.pages, memory.pieces.iter().map(|(place, _)| *place).collect::<Vec<_>>()), (2, vec![3, 31]));
    let mut filled = vec![0; 2 << 16];
    memory.write(&mut filled).unwrap();
    assert_eq!(
        (filled[PIECE * 3 + 5], filled[(2 << 16) - 1], filled.iter().filter(|byte| **byte != 0).count()),
        (9, 1, 2)
    );
    assert_eq!(memory.write(&mut [0; 65536]).unwrap_err().text, "a memory is too small");
}

/// No form but one: whatever is read gives the same bytes again.
#[test]
fn every_byte_changed_is_refused_or_read_as_it_stands() {
    let good = state().encode();
    let mut refused = 0;
    for at in 0..good.len() {
        for change in [1, 0x80, 0xff, 0x10] {
            let mut bytes = good.clone();
            bytes[at] ^= change;
            match State::decode_untrusted(&bytes) {
                Ok(state) => assert_eq!(state.encode(), bytes, "byte {at}"),
                Err(bad) => {
                    refused += 1;
                    assert!(bad.text.starts_with("the state is "), "{}", bad.text);
                }
            }
        }
    }
    assert!(refused > 200, "{refused} of {} changes refused", good.len() * 4);
}

#[test]
fn a_state_that_is_cut_or_too_long_is_refused() {
    let good = state().encode();
    for cut in 0..good.len() {
        let text = if cut < 4 { "the state is too short" } else { "the state is broken in " };
        assert!(State::decode_untrusted(&good[..cut]).unwrap_err().text.starts_with(text), "{cut}");
    }
    assert_eq!(
        State::decode_untrusted(&[&good[..], &[0]].concat()).unwrap_err().text,
        "the state is longer than its parts"
    );
    assert_eq!(State::decode_untrusted(&[9; 99]).unwrap_err().text, "the state is of another version");
}

#[test]
fn what_has_an_order_is_refused_in_another_one() {
    type Change = fn(&mut State);
    let broken: [(&str, Change); 10] = [
        ("its globals", |state| state.globals.swap(0, 1)),
        ("its globals", |state| state.globals[1].number = 0),
        ("its tables", |state| state.tables.push(Table { number: 1, entries: Vec::new() })),
        ("its dropped data segments", |state| state.dropped_data.reverse()),
        ("its dropped element segments", |state| state.dropped_elements.push(2)),
        ("its references", |state| state.references[0] = 0),
        ("its references", |state| state.references = vec![1; REFERENCES_MAX as usize + 1]),
        ("the size of the memory", |state| state.pages = 65537),
        ("its further memories", |state| state.memories[0].pieces.reverse()),
        ("its further memories", |state| state.memories[0].pieces[1].0 = 32),
    ];
    for (part, change) in broken {
        let mut state = state();
        change(&mut state);
        let text = State::decode_untrusted(&state.encode()).unwrap_err().text;
        assert_eq!(text, format!("the state is broken in {part}"));
    }
}

const PROGRAM: &str = r#"(module (import "e" "f" (func $host (param i64) (result i32)))
  (func $work (param i32) (result i32) (loop (br_if 0 (local.get 0))) (local.get 0))
  (func (export "run") (param i32) (result i32) (i32.add (local.get 0) (call $work (call $host (i64.const 1)))))
  (func (export "again") (param f64) (drop (call $work (i32.const 1)))))"#;

#[test]
fn a_guide_knows_all_that_the_table_knows_of_its_sites() {
    let wasm = wat::parse_str(PROGRAM).unwrap();
    let program = Suspendable::new_untrusted(&wasm).unwrap();
    // Sites: 0 the loop, 1 the call of the host and 2 that of work in run, 3 the call in again, 4 the import.
    let guide = program.guide_untrusted(&[0, 2].into()).unwrap();
    let frames = [Frame { site: 2, bytes: &[6, 0, 0, 0] }, Frame { site: 0, bytes: &[5, 0, 0, 0] }];
    assert_eq!(guide.check_untrusted("run", &frames, 0), Ok(()));
    assert_eq!(guide.resume_name(&frames), Some("gatebus:resume:i32"));
    assert_eq!(guide.write_frames(&frames).unwrap(), [1, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0]);
    assert_eq!(guide.read_untrusted(&[0, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 6, 0, 0, 0]).as_deref(), Ok(&frames[..]));
    assert!(guide.check_untrusted("again", &frames, 0).is_err());
    assert!(guide.write_frames(&[Frame { site: 3, bytes: &[] }]).is_err());
}

#[test]
fn every_byte_of_a_guide_changed_is_refused_or_leads_nowhere_else() {
    let wasm = wat::parse_str(PROGRAM).unwrap();
    let program = Suspendable::new_untrusted(&wasm).unwrap();
    let good = program.guide_untrusted(&[0, 1, 2, 3, 4].into()).unwrap().encode();
    let frames = [Frame { site: 2, bytes: &[6, 0, 0, 0] }, Frame { site: 0, bytes: &[5, 0, 0, 0] }];
    let (mut refused, mut read) = (0, 0);
    for at in 0..good.len() {
        for value in 0..=255 {
            let mut bytes = good.clone();
            bytes[at] = value;
            let Ok(guide) = Guide::decode_untrusted(&bytes) else {
                refused += 1;
                continue;
            };
            read += 1;
            assert_eq!(guide.encode(), bytes);
            if guide.check_untrusted("run", &frames, 0).is_ok() {
                // A wrong type of one value at the most: what it leads to stays in the control memory of that program.
                assert!((12..=40).contains(&guide.write_frames(&frames).unwrap().len()));
            }
        }
        assert!(Guide::decode_untrusted(&good[..at]).is_err());
    }
    assert!(refused > read / 4, "{refused} refused, {read} read");
}

#[test]
fn a_frame_is_shown_in_words() {
    let wat = "(module (import \"e\" \"f\" (func $host (param i64))) (type $t (func))
      (table funcref (elem $spin)) (func $spin (type $t) (loop (br_if 0 (i32.const 1))))
      (func $main (export \"run\") (local f64) (call $host (i64.const 1)) (call_indirect (type $t) (i32.const 0)) (local.set 0 (local.get 0))))";
    let wasm = wat::parse_str(wat).unwrap();
    let program = Suspendable::new_untrusted(&wasm).unwrap();
    let places: Vec<(Option<String>, String)> = (0..program.table().sites.len() as u32)
        .map(|site| {
            let shown = program.show_untrusted(&Frame { site, bytes: &[0; 64] }).unwrap();
            (shown.name, shown.place)
        })
        .collect();
    let expected = [
        ("spin", "runs"),
        ("main", "calls 0 (host)"),
        ("main", "calls through a table"),
        ("host", "waits for the host"),
    ];
    assert_eq!(places, expected.map(|(name, place)| (Some(name.to_owned()), place.to_owned())));
    assert!(program.show_untrusted(&Frame { site: 9, bytes: &[] }).is_err());
}

#[test]
fn a_frame_without_a_name_is_shown_by_its_first_export_and_by_nothing_else() {
    let wat = "(module (memory (export \"memory\") 1)
      (func (loop (br_if 0 (i32.const 1))))
      (func $named (export \"other\") (loop (br_if 0 (i32.const 1))))
      (func (export \"_start\") (export \"again\") (call 0) (call 1) (call 2)))";
    let wasm = wat::parse_str(wat).unwrap();
    let program = Suspendable::new_untrusted(&wasm).unwrap();
    let shown = (0..program.table().sites.len() as u32).map(|site| {
        let shown = program.show_untrusted(&Frame { site, bytes: &[0; 64] }).unwrap();
        (shown.function, shown.name, shown.place)
    });
    let words = |function, name: Option<&str>, place: &str| (function, name.map(str::to_owned), place.to_owned());
    let expected = [
        words(0, None, "runs"),
        words(1, Some("named"), "runs"),
        words(2, Some("_start"), "runs"),
        words(2, Some("_start"), "calls 0"),
        words(2, Some("_start"), "calls 1 (named)"),
        words(2, Some("_start"), "calls 2 (_start)"),
    ];
    assert_eq!(shown.collect::<Vec<_>>(), expected);
}
