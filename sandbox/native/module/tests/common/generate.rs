//! Programs made by dice: structured control flow with operands on the stack, calls of all kinds, parameters of blocks, unreachable rests.
//! Each ends: a global counts down at loop headers and at the entries of functions, and where it is used up everything returns.

use super::Dice;

const TYPES: [&str; 4] = ["i32", "i64", "f32", "f64"];
/// Parameters and results of the functions; the first is not called by others.
const FUNCTIONS: [(&[usize], &[usize]); 5] =
    [(&[], &[0]), (&[0], &[0]), (&[0, 1], &[1]), (&[3], &[3, 0]), (&[1, 0], &[0])];
const LOCALS: [usize; 8] = [0, 0, 1, 1, 2, 3, 0, 1];

struct Writer {
    dice: Dice,
    out: String,
    /// The parameters and declared locals of this function.
    locals: Vec<usize>,
    results: &'static [usize],
    /// Open labels, innermost last: what a branch to it takes.
    labels: Vec<Vec<usize>>,
    /// Operators that may still be written into this function.
    room: i32,
}

pub fn program(seed: u64) -> String {
    let mut writer = Writer {
        dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
        out: String::new(),
        locals: Vec::new(),
        results: &[],
        labels: Vec::new(),
        room: 0,
    };
    (0..20).for_each(|_| _ = writer.dice.roll(2));
    writer.out += "(module (type $t (func (param i32) (result i32))) (import \"env\" \"host\" (func $host (param i32) (result i32)))\n\
        (memory 1) (table funcref (elem $f1 $leaf $f1 $leaf)) (global $fuel (mut i32) (i32.const 120)) (global $g (mut i64) (i64.const 3))\n\
        (func $leaf (param i32) (result i32) local.get 0 i32.const 5 i32.mul)\n";
    (0..FUNCTIONS.len()).for_each(|number| writer.function(number));
    writer.out + ")"
}

fn list(kind: &str, types: &[usize]) -> String {
    if types.is_empty() {
        String::new()
    } else {
        format!("({kind}{})", types.iter().map(|ty| format!(" {}", TYPES[*ty])).collect::<String>())
    }
}

impl Writer {
    fn say(&mut self, text: &str) {
        self.out += text;
        self.out += " ";
        self.room -= 1;
    }

    fn function(&mut self, number: usize) {
        let (params, results) = FUNCTIONS[number];
        let export = if number == 0 { "(export \"run\")" } else { "" };
        self.out += &format!(
            "(func $f{number} {export} {} {} {}\n",
            list("param", params),
            list("result", results),
            list("local", &LOCALS)
        );
        self.locals = params.iter().chain(&LOCALS).copied().collect();
        self.results = results;
        self.labels.clear();
        self.room = 160;
        self.say("global.get $fuel i32.const 0 i32.le_s if");
        results.iter().for_each(|ty| self.say(&format!("{}.const {}", TYPES[*ty], number + 1)));
        self.say("return end global.get $fuel i32.const 1 i32.sub global.set $fuel");
        if number == 0 {
            self.rounds();
        }
        (0..5).for_each(|_| self.statement(0));
        results.iter().for_each(|ty| self.value(*ty, 0));
        self.out += ")\n";
    }

    /// Calls in a loop, so that a continuation that was entered in the loop goes round it again.
    fn rounds(&mut self) {
        self.say("loop global.get $fuel i32.const 1 i32.sub global.set $fuel");
        self.labels.push(Vec::new());
        self.statement(4);
        self.value(0, 5);
        self.say("call $f1 global.get $fuel call $host i32.xor");
        let local = self.local(0);
        self.say(&format!("local.set {local} global.get $fuel i32.const 70 i32.gt_s br_if 0 end"));
        self.labels.pop();
    }

    fn local(&mut self, ty: usize) -> usize {
        let fitting: Vec<usize> = (0..self.locals.len()).filter(|local| self.locals[*local] == ty).collect();
        fitting[self.dice.roll(fitting.len() as u32) as usize]
    }

    /// Writes code that leaves one value.
    fn value(&mut self, ty: usize, depth: u32) {
        let name = TYPES[ty];
        let choice = if depth > 5 || self.room < 0 { self.dice.roll(2) } else { self.dice.roll(14) };
        match (choice, ty) {
            (0, _) => {
                let number = self.dice.roll(9);
                self.say(&format!("{name}.const {number}"));
            }
            (1, _) => {
                let local = self.local(ty);
                self.say(&format!("local.get {local}"));
            }
            (2 | 3, _) => {
                self.value(ty, depth + 1);
                self.value(ty, depth + 1);
                let op = ["add", "sub", "mul"][self.dice.roll(3) as usize];
                self.say(&format!("{name}.{op}"));
            }
            (4, _) => {
                self.value(ty, depth + 1);
                let local = self.local(ty);
                self.say(&format!("local.tee {local}"));
            }
            (5, _) => self.construct("block", &[], ty, depth),
            (6, _) => {
                let param = self.dice.roll(4) as usize;
                self.construct("block", &[param], ty, depth);
            }
            (7, _) => {
                let param = self.dice.roll(4) as usize;
                self.construct("loop", &[param, 0], ty, depth);
            }
            (8, _) => self.branching(ty, depth),
            (9, 0) => {
                self.value(0, depth + 1);
                self.say("call $host");
            }
            (9, 3) => {
                self.value(3, depth + 1);
                self.say("call $f3 drop");
            }
            (9, 1) => {
                self.value(0, depth + 1);
                self.value(1, depth + 1);
                self.say("call $f2");
            }
            (10, 0) => {
                self.value(0, depth + 1);
                self.value(0, depth + 1);
                self.say("i32.const 3 i32.and call_indirect (type $t)");
            }
            (11, 0) => {
                self.value(1, depth + 1);
                self.value(0, depth + 1);
                self.say("call $f4");
            }
            (12, 0) => {
                self.value(0, depth + 1);
                self.say("i32.const 1020 i32.and i32.load offset=4");
            }
            (13, 0) => {
                self.value(3, depth + 1);
                self.say("call $f3");
                let local = self.local(0);
                self.say(&format!("local.set {local} i32.trunc_sat_f64_s"));
            }
            _ => self.construct("loop", &[], ty, depth),
        }
    }

    /// A block or a loop with one result; parameters are consumed at once.
    fn construct(&mut self, kind: &str, params: &[usize], ty: usize, depth: u32) {
        params.iter().for_each(|ty| self.value(*ty, depth + 1));
        self.say(&format!("{kind} {} {}", list("param", params), list("result", &[ty])));
        params.iter().rev().for_each(|ty| {
            let local = self.local(*ty);
            self.say(&format!("local.set {local}"));
        });
        self.labels.push(if kind == "loop" { params.to_vec() } else { vec![ty] });
        self.statement(depth + 1);
        if kind == "loop" {
            params.iter().for_each(|ty| self.value(*ty, depth + 2));
            self.say("global.get $fuel i32.const 1 i32.sub global.set $fuel");
            self.value(0, depth + 2);
            self.say("i32.const 1 i32.and global.get $fuel i32.const 0 i32.gt_s i32.and br_if 0");
            params.iter().for_each(|_| self.say("drop"));
        }
        self.value(ty, depth + 1);
        if kind == "block" && self.dice.roll(2) == 0 {
            self.value(0, depth + 2);
            self.say("br_if 0");
        }
        if kind == "block" && self.dice.roll(4) == 0 {
            self.say("br 0 i32.const 1 call $host drop");
            self.say("unreachable");
        }
        self.labels.pop();
        self.say("end");
    }

    /// An `if` with a parameter and a result, sometimes without the other arm.
    fn branching(&mut self, ty: usize, depth: u32) {
        self.value(ty, depth + 1);
        self.value(0, depth + 1);
        self.say(&format!("if {} {}", list("param", &[ty]), list("result", &[ty])));
        self.labels.push(vec![ty]);
        if self.dice.roll(2) == 0 {
            self.say("drop");
            self.value(ty, depth + 1);
        } else {
            self.value(ty, depth + 1);
            self.say(&format!("{}.add", TYPES[ty]));
        }
        if self.dice.roll(2) == 0 {
            self.say("else");
            self.statement(depth + 1);
            self.value(ty, depth + 1);
            self.say(&format!("{}.sub", TYPES[ty]));
        }
        self.labels.pop();
        self.say("end");
    }

    fn statement(&mut self, depth: u32) {
        match self.dice.roll(if depth > 4 || self.room < 0 { 2 } else { 8 }) {
            0 => {
                let ty = self.dice.roll(4) as usize;
                self.value(ty, depth + 1);
                let local = self.local(ty);
                self.say(&format!("local.set {local}"));
            }
            1 => {
                self.value(0, depth + 1);
                self.say("i32.const 1020 i32.and");
                self.value(1, depth + 1);
                self.say("i64.store");
            }
            2 => {
                self.value(1, depth + 1);
                self.say("global.get $g i64.add global.set $g");
            }
            3 => {
                self.value(0, depth + 1);
                self.say("if");
                self.labels.push(Vec::new());
                self.statement(depth + 1);
                self.say("else");
                self.statement(depth + 1);
                self.labels.pop();
                self.say("end");
            }
            4 => self.switch(depth),
            5 => self.way_out(depth),
            _ => {
                self.say("loop");
                self.labels.push(Vec::new());
                self.statement(depth + 1);
                self.say("global.get $fuel i32.const 1 i32.sub global.set $fuel");
                self.statement(depth + 1);
                self.value(0, depth + 1);
                self.say("i32.const 3 i32.and global.get $fuel i32.const 0 i32.gt_s i32.and br_if 0");
                self.labels.pop();
                self.say("end");
            }
        }
    }

    fn switch(&mut self, depth: u32) {
        self.say("block block block");
        (0..3).for_each(|_| self.labels.push(Vec::new()));
        self.value(0, depth + 1);
        self.say("i32.const 3 i32.and br_table 0 1 2 1 end");
        self.labels.pop();
        self.statement(depth + 1);
        self.say("end");
        self.labels.pop();
        self.statement(depth + 1);
        self.labels.pop();
        self.say("end");
    }

    /// A branch to some label, or a return, under a condition. A branch to a loop's header takes fuel: without any left it returns.
    fn way_out(&mut self, depth: u32) {
        self.value(0, depth + 1);
        self.say("i32.const 7 i32.and i32.eqz if");
        self.labels.push(Vec::new());
        let results = self.results;
        let which = self.dice.roll(self.labels.len() as u32) as usize;
        if self.dice.roll(2) == 0 {
            let takes = self.labels[self.labels.len() - 1 - which].clone();
            self.say("global.get $fuel i32.const 1 i32.sub global.set $fuel global.get $fuel i32.const 0 i32.gt_s if");
            takes.iter().for_each(|ty| self.value(*ty, 9));
            self.say(&format!("br {} end", which + 1));
        }
        results.iter().for_each(|ty| self.value(*ty, depth + 2));
        self.say("return");
        self.labels.pop();
        self.say("end");
    }
}
