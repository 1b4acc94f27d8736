//! Code that leaves values on the stack.

use super::{ENTRIES, F64, FUNCTIONS, I32, I64, REFERENCE, TAGS, TYPES, V128, Writer, list};

impl Writer {
    pub(super) fn constant(&mut self, ty: usize) {
        let number = self.dice.roll(9);
        match ty {
            V128 => self.say(&format!("v128.const i32x4 {number} 2 3 4")),
            REFERENCE if number < 3 => self.say("ref.null func"),
            REFERENCE => {
                self.say(&format!("ref.func ${}", ["f1", "f2", "f3", "host", "leaf", "f4"][number as usize - 3]))
            }
            _ => self.say(&format!("{}.const {number}", TYPES[ty])),
        }
    }

    /// Leaves values of these types.
    pub(super) fn produce(&mut self, types: &[usize], depth: u32) {
        let deep = depth > 6 || self.room < 0;
        match types {
            [] => {
                if !deep && self.roll(4) {
                    self.statement(depth + 1);
                }
            }
            [one] => self.value(*one, depth),
            many if deep || self.roll(2) => {
                let at = 1 + self.pick(many.len() - 1);
                self.produce(&many[..at], depth + 1);
                self.produce(&many[at..], depth + 1);
            }
            many => self.construct(many, depth),
        }
    }

    /// Takes what lies on top of the stack.
    pub(super) fn consume(&mut self, types: &[usize]) {
        for ty in types.iter().rev() {
            if self.roll(4) {
                self.say("drop");
            } else {
                let local = self.local(*ty);
                self.say(&format!("local.set {local}"));
            }
        }
    }

    /// A function that gives exactly these results, if there is one.
    fn giver(&mut self, types: &[usize]) -> Option<usize> {
        let all: Vec<usize> = (1..FUNCTIONS.len()).filter(|number| FUNCTIONS[*number].1 == types).collect();
        if all.is_empty() { None } else { Some(all[self.pick(all.len())]) }
    }

    /// Some construct that gives these values.
    pub(super) fn construct(&mut self, types: &[usize], depth: u32) {
        match self.dice.roll(7) {
            0 | 1 => self.block(types, depth),
            2 => self.looping(types, depth),
            3 => self.either(types, depth),
            4 => self.guarded(types, depth),
            5 => self.table_of_branches(types, depth),
            _ => match self.giver(types) {
                Some(number) => {
                    self.produce(FUNCTIONS[number].0, depth + 1);
                    self.say(&format!("call $f{number}"));
                }
                None => self.block(types, depth),
            },
        }
    }

    fn block(&mut self, types: &[usize], depth: u32) {
        let params = self.types(3);
        self.produce(&params, depth + 1);
        self.say(&format!("block {} {}", list("param", &params), list("result", types)));
        self.labels.push(types.to_vec());
        self.consume(&params);
        self.statement(depth + 1);
        self.produce(types, depth + 1);
        if self.roll(3) {
            self.value(I32, depth + 2);
            self.say("br_if 0");
        }
        if self.roll(5) {
            self.say("br 0 i32.const 1 call $host drop unreachable");
        }
        self.labels.pop();
        self.say("end");
    }

    fn looping(&mut self, types: &[usize], depth: u32) {
        let params = self.types(2);
        self.produce(&params, depth + 1);
        self.say(&format!("loop {} {}", list("param", &params), list("result", types)));
        self.labels.push(params.clone());
        self.consume(&params);
        self.statement(depth + 1);
        self.produce(&params, depth + 2);
        self.burn();
        self.value(I32, depth + 2);
        self.say("i32.const 1 i32.and global.get $fuel i32.const 0 i32.gt_s i32.and br_if 0");
        params.iter().for_each(|_| self.say("drop"));
        self.produce(types, depth + 1);
        self.labels.pop();
        self.say("end");
    }

    /// An `if` with its results as parameters, sometimes without the other arm.
    fn either(&mut self, types: &[usize], depth: u32) {
        self.produce(types, depth + 1);
        self.value(I32, depth + 1);
        self.say(&format!("if {} {}", list("param", types), list("result", types)));
        self.labels.push(types.to_vec());
        self.consume(types);
        self.produce(types, depth + 1);
        if self.roll(2) {
            self.say("else");
            self.consume(types);
            self.statement(depth + 1);
            self.produce(types, depth + 1);
        }
        self.labels.pop();
        self.say("end");
    }

    /// A `try_table` whose handler gives the values in its place.
    fn guarded(&mut self, types: &[usize], depth: u32) {
        let tag = self.pick(TAGS.len());
        let (with, all) = (self.roll(3), self.roll(3));
        let carried: &[usize] = if all { &[] } else { TAGS[tag] };
        let exn = if with { "(result exnref)" } else { "" };
        let kind = match (all, with) {
            (false, false) => format!("catch $x{tag}"),
            (false, true) => format!("catch_ref $x{tag}"),
            (true, false) => "catch_all".to_owned(),
            (true, true) => "catch_all_ref".to_owned(),
        };
        let params = self.types(1);
        self.say(&format!("block {} block {} {exn}", list("result", types), list("result", carried)));
        self.labels.extend([types.to_vec(), carried.to_vec()]);
        // A branch to the handler would have to bring a reference to an exception: it is not one of the labels then.
        let hidden = if with { self.labels.pop() } else { None };
        self.labels.extend(hidden.map(|_| vec![usize::MAX]));
        self.produce(&params, depth + 1);
        self.say(&format!("try_table {} {} ({kind} 0)", list("param", &params), list("result", types)));
        self.labels.push(types.to_vec());
        self.consume(&params);
        self.statement(depth + 1);
        self.produce(types, depth + 1);
        self.labels.pop();
        self.say("end br 1 end");
        self.labels.pop();
        if with {
            // Nothing between can be stopped: an exception must not be alive there.
            self.say("local.set $exn global.get $fuel i32.const 3 i32.and i32.eqz if local.get $exn throw_ref end");
        }
        self.consume(carried);
        self.produce(types, depth + 1);
        self.labels.pop();
        self.say("end");
    }

    /// A `br_table` that carries the values.
    fn table_of_branches(&mut self, types: &[usize], depth: u32) {
        let results = list("result", types);
        self.say(&format!("block {results} block {results} block {results}"));
        self.labels.extend([types.to_vec(), types.to_vec(), types.to_vec()]);
        self.produce(types, depth + 1);
        self.value(I32, depth + 1);
        self.say("i32.const 3 i32.and br_table 0 1 2 1 end");
        self.labels.pop();
        self.consume(types);
        self.produce(types, depth + 1);
        self.say("end");
        self.labels.pop();
        self.statement(depth + 1);
        self.labels.pop();
        self.say("end");
    }

    /// Leaves one value.
    pub(super) fn value(&mut self, ty: usize, depth: u32) {
        let deep = depth > 6 || self.room < 0;
        match if deep { self.dice.roll(2) } else { self.dice.roll(10) } {
            0 => self.constant(ty),
            1 => {
                let local = self.local(ty);
                self.say(&format!("local.get {local}"));
            }
            2 => {
                self.value(ty, depth + 1);
                let local = self.local(ty);
                self.say(&format!("local.tee {local}"));
            }
            3 => {
                self.value(ty, depth + 1);
                self.value(ty, depth + 1);
                self.value(I32, depth + 1);
                self.say(if ty == REFERENCE { "select (result funcref)" } else { "select" });
            }
            4 | 5 => self.construct(&[ty], depth),
            _ => self.own(ty, depth),
        }
    }

    /// What only values of this type can come from.
    fn own(&mut self, ty: usize, depth: u32) {
        match ty {
            I32 => self.integer(depth),
            V128 => {
                self.value(I32, depth + 1);
                self.say("i32x4.splat global.get $v i32x4.add");
            }
            REFERENCE => match self.dice.roll(4) {
                0 => self.say("global.get $r"),
                1 => {
                    self.value(I32, depth + 1);
                    self.say("i32.const 3 i32.and table.get $t1");
                }
                2 => {
                    self.value(I32, depth + 1);
                    self.say("i32.const 3 i32.and table.get $fixed");
                }
                _ => {
                    self.value(I32, depth + 1);
                    self.say("call $f6");
                    let local = self.local(I64);
                    self.say(&format!("local.set {local}"));
                }
            },
            _ => {
                self.value(ty, depth + 1);
                self.value(ty, depth + 1);
                let op = ["add", "sub", "mul"][self.pick(3)];
                self.say(&format!("{}.{op}", TYPES[ty]));
            }
        }
    }

    fn integer(&mut self, depth: u32) {
        match self.dice.roll(9) {
            0 => {
                self.value(I32, depth + 1);
                self.say("call $host");
            }
            1 => {
                self.value(I64, depth + 1);
                self.value(V128, depth + 1);
                self.say("call $wide");
                let local = self.local(F64);
                self.say(&format!("local.set {local}"));
            }
            2 | 3 => {
                self.value(I32, depth + 1);
                self.value(I32, depth + 1);
                // Now and then beyond those that certainly can be called.
                let mask = if self.roll(12) { ENTRIES - 1 } else { 3 };
                let table = if self.roll(2) { "$fixed" } else { "$t0" };
                let mask = if table == "$fixed" { 3 } else { mask };
                self.say(&format!("i32.const {mask} i32.and call_indirect {table} (type $t)"));
            }
            4 => {
                self.value(I32, depth + 1);
                let memory = ["$a", "$b"][self.pick(2)];
                self.say(&format!("i32.const 1020 i32.and i32.load {memory} offset=4"));
            }
            5 => {
                self.value(REFERENCE, depth + 1);
                self.say("ref.is_null");
            }
            6 => {
                self.value(V128, depth + 1);
                self.say("i32x4.extract_lane 1");
            }
            7 => {
                let size = ["memory.size $b", "table.size $t1", "i32.const 1 memory.grow $b"][self.pick(3)];
                self.say(size);
            }
            _ => {
                self.value(I32, depth + 1);
                self.value(I32, depth + 1);
                let op = ["add", "sub", "mul", "xor", "lt_s"][self.pick(5)];
                self.say(&format!("i32.{op}"));
            }
        }
    }
}
