//! The site table, the refusals, and what a state from outside may say.

#![allow(missing_docs, clippy::unwrap_used, clippy::cast_possible_truncation)]

use gatebus_module::{
    BadFrames, Callee, FRAMES_MAX, Frame, Place, Refused, Scalar, Site, Suspendable, continue_untrusted,
    read_untrusted, sites_of,
};

fn wasm(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap()
}

fn table(wat: &str) -> Vec<Site> {
    Suspendable::new_untrusted(&wasm(wat)).unwrap().table().sites.values().cloned().collect()
}

fn refusal(wat: &str) -> String {
    match Suspendable::new_untrusted(&wasm(wat)) {
        Err(refused @ Refused::Suspension(_)) => refused.to_string(),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("not refused"),
    }
}

const LOOP: &str = "(loop (br_if 0 (local.get 0)))";

#[test]
fn a_call_of_a_function_that_cannot_be_left_has_no_site() {
    let sites =
        table("(module (func $leaf) (func $middle (call $leaf)) (func (export \"run\") (call $middle) (call $leaf)))");
    assert_eq!(sites, []);
}

#[test]
fn a_loop_makes_sites_behind_all_calls_that_reach_it() {
    let sites = table(&format!(
        "(module (func $a (param i32) {LOOP}) (func $b (call $a (i32.const 1))) (func (export \"run\") (call $b)))"
    ));
    let places: Vec<(u32, Place)> = sites.iter().map(|site| (site.function, site.place)).collect();
    let expected = [(0, Place::Point), (1, Place::Call(Callee::Function(0))), (2, Place::Call(Callee::Function(1)))];
    assert_eq!(places, expected);
}

fn places(wat: &str) -> Vec<(u32, Place)> {
    table(wat).iter().map(|site| (site.function, site.place)).collect()
}

#[test]
fn a_recursion_is_stopped_in_front_of_its_first_call_and_not_where_it_goes_no_deeper() {
    let wat = "(module (func $f (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 1))))
        (i32.add (call $f (i32.sub (local.get 0) (i32.const 1))) (call $f (i32.sub (local.get 0) (i32.const 2))))))";
    let call = Place::Call(Callee::Function(0));
    assert_eq!(places(wat), [(0, Place::Point), (0, call), (0, call)]);
}

#[test]
fn each_way_to_a_recursive_call_has_a_site_in_front_of_it() {
    let wat = "(module (func $f (param i32)
        (if (local.get 0) (then (call $f (i32.const 1))) (else (call $f (i32.const 2)) (call $f (i32.const 3))))))";
    let call = Place::Call(Callee::Function(0));
    let expected = [Place::Point, call, Place::Point, call, call].map(|place| (0, place));
    assert_eq!(places(wat), expected);
    let larger = wat.replace("))))))", ")))) (call $f (i32.const 4))))");
    assert_eq!(places(&larger), [Place::Point, call, call, call, call].map(|place| (0, place)));
}

#[test]
fn one_function_of_each_circle_of_calls_is_stopped_also_through_a_table() {
    let wat = "(module (type $t (func)) (table funcref (elem $b))
        (func $a (call_indirect (type $t) (i32.const 0))) (func $b (call $c)) (func $c (call $a)))";
    let points = places(wat).iter().filter(|(_, place)| *place == Place::Point).count();
    assert_eq!(points, 1);
}

#[test]
fn a_circle_of_tail_calls_has_a_site_at_one_entry() {
    let sites = places("(module (func $f (return_call $g)) (func $g (return_call $f)))");
    assert_eq!(sites, [(0, Place::Point)]);
}

#[test]
fn an_indirect_call_is_checked_where_a_function_of_its_type_in_a_table_may_be_left() {
    let program = |element: &str| {
        format!(
            "(module (type $t (func (param i32))) (type $same (func (param i32))) (table funcref (elem {element}))
               (func $quiet (type $t)) (func $loop (type $t) {LOOP})
               (func (export \"run\") (call_indirect (type $same) (i32.const 0) (i32.const 0))))"
        )
    };
    assert_eq!(table(&program("$quiet")).len(), 1);
    assert_eq!(table(&program("$loop")).len(), 2);
}

#[test]
fn only_what_is_read_later_is_saved() {
    let sites = table(
        "(module (func (export \"run\") (param i32 i64 f32) (result i64) (local f64 i32)
           (loop (local.set 4 (i32.mul (local.get 0) (local.get 0))) (br_if 0 (local.get 4)))
           (local.get 1)))",
    );
    assert_eq!(sites[0].saved, [Scalar::I32, Scalar::I64]);
}

#[test]
fn an_operand_below_a_call_is_saved_and_its_arguments_are_not() {
    let sites = table(
        "(module (import \"e\" \"f\" (func $f (param f32) (result i32)))
           (func (export \"run\") (result i32) i32.const 1 f64.const 2 drop f32.const 3 call $f i32.add))",
    );
    assert_eq!(sites[0].saved, [Scalar::I32]);
    assert_eq!((sites[1].place, sites[1].saved.as_slice()), (Place::Import, [Scalar::F32].as_slice()));
}

#[test]
fn the_same_bytes_give_the_same_program_and_the_same_continuation() {
    let wasm = wasm(include_str!("programs/constructs.wat"));
    let (one, two) = (Suspendable::new_untrusted(&wasm).unwrap(), Suspendable::new_untrusted(&wasm).unwrap());
    assert_eq!((one.wasm(), one.table()), (two.wasm(), two.table()));
    let sites = [0, 3, 5].into();
    let made = one.continuation_untrusted(&sites).unwrap();
    let made = Some((made, one.guide_untrusted(&sites).unwrap().encode()));
    let again = |summary: &[u8]| {
        continue_untrusted(&wasm, summary, &sites).ok().map(|continued| (continued.wasm, continued.guide))
    };
    assert_eq!(again(&[]), made, "without the transformed program");
    let summary = one.summary();
    assert_eq!(again(&summary), made, "of the functions at these sites alone");
    assert_eq!(again(&summary[..summary.len() - 1]), made, "of a summary that is cut off");
    assert_eq!(one.continuation_untrusted(&sites), two.continuation_untrusted(&sites));
    assert_eq!(one.guide_untrusted(&sites), two.guide_untrusted(&sites));
}

#[test]
fn a_float_has_the_place_of_a_vector_on_the_stack_of_what_goes_on() {
    let wasm = wasm(
        "(module (func (export \"run\") (param i32 i64 f32 f64 v128) (loop (br_if 0 (local.get 0)))
           (drop (local.get 1)) (drop (local.get 2)) (drop (local.get 3)) (drop (local.get 4))))",
    );
    let saved = Suspendable::new_untrusted(&wasm).unwrap().table().sites[&0].saved.clone();
    assert_eq!(saved, [Scalar::I32, Scalar::I64, Scalar::F32, Scalar::F64, Scalar::V128]);
    assert_eq!(continue_untrusted(&wasm, &[], &[0].into()).unwrap().stack, [32 + 2 * 8 + 3 * 16]);
}

#[test]
fn functions_keep_their_names() {
    let wasm = wasm("(module (func $worker (export \"run\")))");
    let program = Suspendable::new_untrusted(&wasm).unwrap();
    assert_eq!((program.entry("run"), program.name(0)), (Some(0), Some("worker")));
    assert!(program.wasm().windows(6).any(|bytes| bytes == b"worker"));
}

#[test]
fn what_cannot_be_captured_is_refused_by_name() {
    let cases = [
        (
            format!("(func $f (param i32) (result exnref) (local exnref) {LOOP} (local.get 1))"),
            "function 0 (f): an exception is alive where it may be stopped",
        ),
        (
            "(func (export \"gatebus:x\"))".to_owned(),
            "it has an export whose name begins with gatebus:, which is reserved",
        ),
        ("(import \"e\" \"m\" (memory 1))".to_owned(), "it imports something else than functions"),
        ("(global (mut exnref) (ref.null exn))".to_owned(), "it has a variable global that holds an exception"),
        (
            "(table 1 exnref) (func (table.set (i32.const 0) (ref.null exn)))".to_owned(),
            "it has a variable table that holds exceptions",
        ),
    ];
    for (fields, text) in cases {
        assert_eq!(refusal(&format!("(module {fields})")), format!("the program cannot be suspended: {text}"));
    }
}

#[test]
fn exceptions_where_nothing_can_be_stopped_are_no_obstacle() {
    let wat =
        "(module (tag $t) (func $f (block $h (try_table (catch $t $h) (throw $t)))) (func (export \"run\") (call $f)))";
    assert_eq!(table(wat), []);
}

#[test]
fn bytes_that_are_no_module_are_invalid() {
    for cut in [0, 7, 20] {
        let bytes = &wasm(include_str!("programs/arms.wat"))[..cut];
        assert!(matches!(Suspendable::new_untrusted(bytes), Err(Refused::Invalid(_))), "{cut}");
    }
}

const FORGED: &str = r#"(module (import "e" "f" (func $host (param i64) (result i32)))
  (func $work (param i32) (result i32) (loop (br_if 0 (local.get 0))) (local.get 0))
  (func $other (export "other") (param i32) (result i32) (loop (br_if 0 (local.get 0))) (call $host (i64.const 1)))
  (func (export "run") (param i32) (result i32) (i32.add (local.get 0) (call $work (local.get 0)))))"#;

const FIVE: &[u8] = &[5, 0, 0, 0];
const WIDE: &[u8] = &[5, 0, 0, 0, 0, 0, 0, 0];

fn frame(site: u32, bytes: &'static [u8]) -> Frame<'static> {
    Frame { site, bytes }
}

/// With the guide of a continuation for all sites.
fn check(program: &Suspendable<'_>, entry: &str, frames: &[Frame<'_>]) -> Result<(), BadFrames> {
    let mut sites = sites_of(frames);
    sites.extend(0..program.table().sites.len() as u32);
    program.guide_untrusted(&sites)?.check_untrusted(entry, frames, 0)
}

#[test]
fn forged_frames_are_refused_with_the_reason() {
    let wasm = wasm(FORGED);
    let program = Suspendable::new_untrusted(&wasm).unwrap();
    let check = |entry: &str, frames: &[Frame<'_>]| check(&program, entry, frames).map_err(|bad| bad.text);
    // Sites: 0 loop of work, 1 loop of other, 2 call of host in other, 3 call of work in run, 4 the import.
    assert_eq!(check("run", &[frame(3, FIVE), frame(0, FIVE)]), Ok(()));
    assert_eq!(check("other", &[frame(2, &[]), frame(4, WIDE)]), Ok(()));
    let wrong = "a frame is not of a function that the frame around it can call";
    let cases: [(&str, &[Frame<'_>], &str); 10] = [
        ("run", &[], "the innermost frame is missing"),
        ("run", &[frame(3, FIVE)], "the innermost frame is missing"),
        (
            "run",
            &[frame(3, FIVE), frame(0, FIVE), frame(0, FIVE)],
            "a frame stands inside a site that has nothing inside it",
        ),
        ("run", &[frame(3, FIVE), frame(1, FIVE)], wrong),
        ("run", &[frame(3, FIVE), frame(4, WIDE)], wrong),
        ("run", &[frame(0, FIVE)], wrong),
        ("run", &[frame(3, &[]), frame(0, FIVE)], "a frame has more or fewer values than its site saves"),
        ("run", &[frame(3, WIDE), frame(0, FIVE)], "a frame has more or fewer values than its site saves"),
        ("run", &[frame(9, &[])], "a frame names a site that the program does not have"),
        ("walk", &[], "the entry cannot have left any of these frames"),
    ];
    for (entry, frames, text) in cases {
        assert_eq!(check(entry, frames), Err(text), "{frames:?}");
    }
    let no_site = "a frame names a site that the program does not have";
    assert_eq!(program.continuation_untrusted(&[9].into()).unwrap_err().text, no_site);
    assert_eq!(program.guide_untrusted(&[9].into()).unwrap_err().text, no_site);
}

#[test]
fn more_frames_than_any_stack_holds_are_refused() {
    let wasm = wasm("(module (func $f) (func (export \"run\") (loop (br 0))))");
    let program = Suspendable::new_untrusted(&wasm).unwrap();
    assert_eq!(program.table().sites[&0].saved, []);
    let bytes = vec![0; 4 * (FRAMES_MAX + 1)];
    assert_eq!(read_untrusted(program.table(), &bytes[4..]).map(|frames| frames.len()), Ok(FRAMES_MAX));
    let refused = read_untrusted(program.table(), &bytes).map(|_| ());
    assert_eq!(refused.map_err(|bad| bad.text), Err("there are more frames than any stack holds"));
}

/// Cut anywhere or with any byte changed, frames are read as frames of the table or refused; nothing else happens.
#[test]
fn frames_from_outside_are_read_whole_or_refused() {
    let wasm = wasm(FORGED);
    let program = Suspendable::new_untrusted(&wasm).unwrap();
    let good = [&0u32.to_le_bytes()[..], &5u32.to_le_bytes(), &3u32.to_le_bytes(), &7u32.to_le_bytes()].concat();
    assert_eq!(read_untrusted(program.table(), &good), Ok(vec![frame(3, &[7, 0, 0, 0]), frame(0, FIVE)]));
    for cut in 1..good.len() {
        assert_eq!(read_untrusted(program.table(), &good[..cut]).is_ok(), cut == 8, "{cut}");
    }
    let mut refused = 0;
    for at in 0..good.len() {
        for value in 0..=255 {
            let mut bytes = good.clone();
            bytes[at] = value;
            let read = read_untrusted(program.table(), &bytes);
            let fits = read.map(|frames| check(&program, "run", &frames).map(|()| frames));
            match fits {
                Ok(Ok(frames)) => {
                    let guide = program.guide_untrusted(&sites_of(&frames)).unwrap();
                    assert_eq!(guide.write_frames(&frames).unwrap().len(), good.len())
                }
                _ => refused += 1,
            }
        }
    }
    assert_eq!(refused, 8 * 255, "every change of a site number is refused, every value is a value");
}
