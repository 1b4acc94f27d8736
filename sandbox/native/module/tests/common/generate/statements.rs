//! Code that leaves nothing on the stack.

use super::{FUNCTIONS, I32, I64, REFERENCE, TAGS, TYPES, V128, Writer};

impl Writer {
    pub(super) fn statement(&mut self, depth: u32) {
        let deep = depth > 5 || self.room < 0;
        match if deep { self.dice.roll(3) } else { self.dice.roll(14) } {
            0 => {
                let ty = self.pick(TYPES.len());
                self.value(ty, depth + 1);
                let local = self.local(ty);
                self.say(&format!("local.set {local}"));
            }
            1 => {
                self.value(I32, depth + 1);
                self.say("i32.const 1020 i32.and");
                self.value(I64, depth + 1);
                let memory = ["$a", "$b"][self.pick(2)];
                self.say(&format!("i64.store {memory}"));
            }
            2 => self.globals(depth),
            3 => {
                self.value(I32, depth + 1);
                self.say("if");
                self.labels.push(Vec::new());
                self.statement(depth + 1);
                self.say("else");
                self.statement(depth + 1);
                self.labels.pop();
                self.say("end");
            }
            4 | 5 => self.way_out(depth),
            6 | 7 => self.changes(depth),
            8 => {
                let types = self.types(3);
                self.produce(&types, depth + 1);
                self.consume(&types);
            }
            9 => self.construct(&[], depth),
            10 => {
                let params = FUNCTIONS[8].0;
                self.produce(params, depth + 1);
                self.say("call $f8");
            }
            _ => {
                self.say("loop");
                self.labels.push(Vec::new());
                self.statement(depth + 1);
                self.burn();
                self.statement(depth + 1);
                self.value(I32, depth + 1);
                self.say("i32.const 3 i32.and global.get $fuel i32.const 0 i32.gt_s i32.and br_if 0");
                self.labels.pop();
                self.say("end");
            }
        }
    }

    fn globals(&mut self, depth: u32) {
        match self.dice.roll(4) {
            0 => {
                self.value(REFERENCE, depth + 1);
                self.say("global.set $r");
            }
            1 => {
                self.value(V128, depth + 1);
                self.say("global.set $v");
            }
            _ => {
                self.value(I64, depth + 1);
                self.say("global.get $g i64.add global.set $g");
            }
        }
    }

    /// Tables, segments, pieces of memories.
    fn changes(&mut self, depth: u32) {
        let choice = self.dice.roll(12);
        if choice < 4 {
            self.value(I32, depth + 1);
            self.say("i32.const 3 i32.and");
        }
        match choice {
            0 | 1 => {
                self.value(REFERENCE, depth + 1);
                self.say("table.set $t1");
            }
            // Only behind those that are called for certain.
            2 => {
                self.say("i32.const 4 i32.add");
                self.value(REFERENCE, depth + 1);
                self.say("table.set $t0");
            }
            3 => {
                self.value(REFERENCE, depth + 1);
                self.say("i32.const 1 table.fill $t1");
            }
            4 => {
                self.value(REFERENCE, depth + 1);
                self.say("i32.const 1 table.grow $t1 drop");
            }
            5 => {
                self.value(I32, depth + 1);
                self.say("i32.const 1 i32.and i32.const 1 i32.const 2 table.copy $t1 $fixed");
            }
            6 => {
                self.value(I32, depth + 1);
                self.say("drop i32.const 0 i32.const 1 i32.const 2 table.copy $t1 $t1");
            }
            7 => self.say("global.get $fuel i32.const 20 i32.gt_s if i32.const 1 i32.const 0 i32.const 3 table.init $t1 $e0 else elem.drop $e0 end"),
            8 => self.say("global.get $fuel i32.const 40 i32.gt_s if i32.const 300 i32.const 2 i32.const 5 memory.init $b $p0 else data.drop $p0 end"),
            9 => self.say("i32.const 64 i32.const 0 i32.const 0 memory.init $a $p1 elem.drop $e1"),
            10 => {
                self.value(I32, depth + 1);
                self.say("i32.const 511 i32.and i32.const 8 i32.const 100 memory.copy $a $b");
            }
            _ => {
                self.value(I32, depth + 1);
                self.say("i32.const 511 i32.and i32.const 7 i32.const 60 memory.fill $b");
            }
        }
    }

    /// A branch to some label, a return, a tail call or an exception, under a condition. A branch to a loop's header takes fuel: without any left
    /// it returns.
    fn way_out(&mut self, depth: u32) {
        self.value(I32, depth + 1);
        self.say("i32.const 7 i32.and i32.eqz if");
        self.labels.push(Vec::new());
        let results = FUNCTIONS[self.number].1;
        let which = self.pick(self.labels.len());
        let takes = self.labels[self.labels.len() - 1 - which].clone();
        match self.dice.roll(6) {
            0 => {
                let tag = self.pick(TAGS.len());
                self.produce(TAGS[tag], depth + 2);
                self.say(&format!("throw $x{tag}"));
            }
            1 if results == [I32] => {
                self.value(I32, depth + 2);
                if self.roll(2) {
                    self.value(I32, depth + 2);
                    self.say("i32.const 3 i32.and return_call_indirect $t0 (type $t)");
                } else {
                    let to = ["f1", "f2", "host", "leaf"][self.pick(4)];
                    self.say(&format!("return_call ${to}"));
                }
            }
            1 if self.number > 0 => {
                let number = self.number;
                self.produce(FUNCTIONS[number].0, depth + 2);
                self.say(&format!("return_call $f{number}"));
            }
            2 | 3 if !takes.contains(&usize::MAX) => {
                self.burn();
                self.say("global.get $fuel i32.const 0 i32.gt_s if");
                takes.iter().for_each(|ty| self.value(*ty, 9));
                self.say(&format!("br {} end", which + 1));
                self.produce(results, depth + 2);
                self.say("return");
            }
            _ => {
                self.produce(results, depth + 2);
                self.say("return");
            }
        }
        self.labels.pop();
        self.say("end");
    }
}
