//! Programs made by dice: structured control flow with operands on the stack, results by several, calls of all kinds, references, tables and segments,
//! several memories, exceptions, tail calls, calls of the host, unreachable rests.
//! Each ends: a global counts down at loop headers and at the entries of functions, and where it is used up everything returns.

mod statements;
mod values;

use super::Dice;

pub const TYPES: [&str; 6] = ["i32", "i64", "f32", "f64", "v128", "funcref"];
pub const I32: usize = 0;
pub const I64: usize = 1;
pub const F64: usize = 3;
pub const V128: usize = 4;
pub const REFERENCE: usize = 5;

type Types = &'static [usize];
/// Parameters and results of the functions; the first is not called by others, the second and the third are in the table.
pub const FUNCTIONS: [(Types, Types); 9] = [
    (&[], &[0]),
    (&[0], &[0]),
    (&[0], &[0]),
    (&[0, 1], &[1]),
    (&[3], &[3, 0]),
    (&[1, 0, 5], &[0]),
    (&[0], &[5, 1]),
    (&[4, 2], &[2, 4, 0]),
    (&[0, 0], &[]),
];
const LOCALS: [usize; 12] = [0, 0, 0, 1, 1, 2, 3, 3, 4, 5, 5, 0];
/// What the exceptions carry.
pub const TAGS: [Types; 3] = [&[0, 1], &[], &[3, 5]];
/// Entries of the first table, of which the first four are functions of the type that is called.
pub const ENTRIES: usize = 8;

pub struct Writer {
    dice: Dice,
    out: String,
    /// The parameters and declared locals of this function.
    locals: Vec<usize>,
    number: usize,
    /// Open labels, innermost last: what a branch to it takes.
    labels: Vec<Vec<usize>>,
    /// Operators that may still be written into this function.
    room: i32,
}

/// The text of the program of a seed. Its size is one of the things that the dice decide.
pub fn program(seed: u64) -> String {
    let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut writer = Writer { dice, out: String::new(), locals: Vec::new(), number: 0, labels: Vec::new(), room: 0 };
    (0..20).for_each(|_| _ = writer.dice.roll(2));
    let fuel = 100 + writer.dice.roll(400);
    let room = [40, 80, 160][writer.dice.roll(3) as usize];
    writer.out += &format!(
        "(module (type $t (func (param i32) (result i32)))
        (import \"env\" \"host\" (func $host (type $t))) (import \"env\" \"wide\" (func $wide (param i64 v128) (result i32 f64)))
        (memory $a 1) (memory $b 1 3)
        (data $active (memory $a) (i32.const 16) \"active data\") (data $p0 \"0123456789\") (data $p1 (memory $b) (i32.const 0) \"second\")
        (table $t0 {ENTRIES} 12 funcref) (table $t1 4 8 funcref) (table $fixed funcref (elem $f1 $leaf $host $f2))
        (elem (table $t0) (i32.const 0) func $f1 $leaf $host $f2 $f3) (elem $e0 func $f2 $f1 $host $leaf) (elem $e1 funcref (ref.null func) (ref.func $f4))
        (tag $x0 (param i32 i64)) (tag $x1) (tag $x2 (param f64 funcref))
        (global $fuel (mut i32) (i32.const {fuel})) (global $g (mut i64) (i64.const 3)) (global $r (mut funcref) (ref.func $host)) (global $v (mut v128) (v128.const i64x2 1 2))
        (func $leaf (type $t) local.get 0 i32.const 5 i32.mul)\n"
    );
    (0..FUNCTIONS.len()).for_each(|number| writer.function(number, room));
    if writer.roll(2) {
        writer.out += "(start $f8start) (func $f8start i32.const 3 i32.const 4 call $f8)\n";
    }
    writer.out + ")"
}

fn list(kind: &str, types: &[usize]) -> String {
    if types.is_empty() {
        return String::new();
    }
    format!("({kind}{})", types.iter().map(|ty| format!(" {}", TYPES[*ty])).collect::<String>())
}

impl Writer {
    fn say(&mut self, text: &str) {
        self.out += text;
        self.out += " ";
        self.room -= 1;
    }

    /// One chance in so many.
    fn roll(&mut self, sides: u32) -> bool {
        self.dice.roll(sides) == 0
    }

    fn pick(&mut self, count: usize) -> usize {
        self.dice.roll(count as u32) as usize
    }

    /// A few types at random.
    fn types(&mut self, most: usize) -> Vec<usize> {
        (0..self.pick(most + 1)).map(|_| self.pick(TYPES.len())).collect()
    }

    fn local(&mut self, ty: usize) -> usize {
        let fitting: Vec<usize> = (0..self.locals.len()).filter(|local| self.locals[*local] == ty).collect();
        fitting[self.pick(fitting.len())]
    }

    fn burn(&mut self) {
        self.say("global.get $fuel i32.const 1 i32.sub global.set $fuel");
    }

    fn function(&mut self, number: usize, room: i32) {
        let (params, results) = FUNCTIONS[number];
        let export = if number == 0 { "(export \"run\")" } else { "" };
        let (param, result, local) = (list("param", params), list("result", results), list("local", &LOCALS));
        self.out += &format!("(func $f{number} {export} {param} {result} {local} (local $exn exnref)\n");
        self.locals = params.iter().chain(&LOCALS).copied().collect();
        (self.number, self.room) = (number, room);
        self.labels.clear();
        self.say("global.get $fuel i32.const 0 i32.le_s if");
        results.iter().for_each(|ty| self.constant(*ty));
        self.say("return end");
        self.burn();
        if number == 0 {
            self.rounds();
        }
        (0..4).for_each(|_| self.statement(0));
        self.produce(results, 0);
        self.out += ")\n";
    }

    /// Calls in a loop, so that a continuation that was entered in the loop goes round it again; exceptions end here.
    fn rounds(&mut self) {
        self.say("loop");
        self.burn();
        self.say("block try_table (catch_all 0)");
        self.labels.extend([Vec::new(), Vec::new(), Vec::new()]);
        self.statement(3);
        self.value(I32, 3);
        self.say("call $f1 global.get $fuel call $host i32.xor");
        let local = self.local(I32);
        self.say(&format!("local.set {local} end end global.get $fuel i32.const 10 i32.gt_s br_if 0 end"));
        self.labels.truncate(0);
    }
}
