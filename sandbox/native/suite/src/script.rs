//! Reads one `.wast` script and sorts everything it says into what can be tested, what must be refused, and what is left out, why.

use std::collections::HashMap;

use wast::parser::{self, ParseBuffer};
use wast::token::Id;
use wast::{QuoteWat, QuoteWatTest, Wast, WastDirective, WastExecute, WastInvoke, WastRet, Wat};

use crate::causes;
use crate::emit::{End, Step};
use crate::lines::Lines;
use crate::link::Providers;
use crate::policy::{self, Verdict};
use crate::shape::{Shape, Target};
use crate::value::{self, Reason};

/// Everything that one script asks for.
#[derive(Debug, Default)]
pub struct Script {
    /// Instances in the order of their making.
    pub instances: Vec<Instance>,
    /// Modules that admission must not let through.
    pub refusals: Vec<Refusal>,
    /// Kind of assertion and reason of leaving it out, as often as it happens.
    pub skipped: Vec<(&'static str, String)>,
}

/// One accepted module and what is done to an instance of it.
#[derive(Debug)]
pub struct Instance {
    /// Line of the module.
    pub line: usize,
    /// Its binary form.
    pub wasm: Vec<u8>,
    /// Counts and exports.
    pub shape: Shape,
    /// Its imports have been replaced by definitions.
    pub linked: bool,
    /// In the order of the script.
    pub steps: Vec<Step>,
    /// The cause with which making the instance itself must be killed.
    pub trap: Option<&'static str>,
    closed: Option<Reason>,
}

/// A module for admission to refuse.
#[derive(Debug)]
pub struct Refusal {
    /// Line of the module.
    pub line: usize,
    /// `invalid`, `malformed` or `policy`.
    pub kind: &'static str,
    /// The message of the suite, or what the policy refuses.
    pub reason: String,
    /// Binary or text form.
    pub module: QuoteWatTest,
}

const SHARED: Reason = "state shared with a module that imports it";
const AFTER_SKIP: Reason = "after a call that was left out";
const CUSTOM: &str = "custom sections are not decoded";

/// Where a name of the script leads.
#[derive(Clone, Debug)]
enum Link {
    Instance(usize),
    Refused(&'static str),
}

/// Arguments and end of a step, or why it cannot be made.
type Made = Result<(Vec<value::Value>, End), Reason>;

struct Reader {
    lines: Lines,
    script: Script,
    current: Option<Link>,
    named: HashMap<String, Link>,
    definitions: HashMap<String, (usize, Vec<u8>)>,
    registered: HashMap<String, Link>,
    providers: Providers,
}

/// Reads a whole script.
pub fn read(text: &str) -> Result<Script, String> {
    let mut lexer = wast::lexer::Lexer::new(text);
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).map_err(|e| e.to_string())?;
    let wast: Wast<'_> = parser::parse(&buffer).map_err(|e| e.to_string())?;
    let mut reader = Reader {
        lines: Lines::of(text),
        script: Script::default(),
        current: None,
        named: HashMap::new(),
        definitions: HashMap::new(),
        registered: HashMap::new(),
        providers: Providers::default(),
    };
    for directive in wast.directives {
        let line = reader.lines.at(directive.span().offset());
        reader.directive(line, directive)?;
    }
    Ok(reader.script)
}

impl Reader {
    fn directive(&mut self, line: usize, directive: WastDirective<'_>) -> Result<(), String> {
        match directive {
            WastDirective::Module(module) => self.module(line, module)?,
            WastDirective::ModuleDefinition(module) => self.definition(line, module)?,
            WastDirective::ModuleInstance { instance, module, .. } => self.instance_of(instance, module)?,
            WastDirective::Register { name, module, .. } => {
                if let Some(link) = self.link(module) {
                    if let Link::Instance(at) = link {
                        self.providers.register(name, &self.script.instances[at].wasm);
                    }
                    self.registered.insert(name.to_owned(), link);
                }
            }
            WastDirective::AssertMalformed { module, message, .. } => self.refusal(line, "malformed", module, message),
            WastDirective::AssertInvalid { module, message, .. } => self.refusal(line, "invalid", module, message),
            WastDirective::AssertUnlinkable { mut module, .. } => {
                let wasm = module.encode().map_err(|e| e.to_string())?;
                self.policy_refusal(line, policy::IMPORTS, wasm);
                self.skip("unlinkable", refused(policy::IMPORTS));
            }
            WastDirective::Invoke(call) => self.call(line, "action", call, End::Any),
            WastDirective::AssertReturn { exec, results, .. } => self.assert_return(line, exec, &results),
            WastDirective::AssertTrap { exec, message, .. } => self.assert_trap(line, exec, message)?,
            WastDirective::AssertExhaustion { call, message, .. } => {
                let cause = causes::of(message).ok_or(message)?;
                self.killed(line, "exhaustion", call, cause);
            }
            WastDirective::AssertException { exec, .. } => match exec {
                WastExecute::Invoke(call) => self.killed(line, "exception", call, causes::EXCEPTION),
                _ => {
                    return Err(format!("line {line}: an exception from something else than a call"));
                }
            },
            WastDirective::AssertMalformedCustom { .. } | WastDirective::AssertInvalidCustom { .. } => {
                self.skip("custom", CUSTOM.to_owned());
            }
            WastDirective::AssertSuspension { .. } => self.skip("suspension", refused("stack switching")),
            WastDirective::Thread(_) | WastDirective::Wait { .. } => self.skip("thread", refused("threads")),
        }
        Ok(())
    }

    fn module(&mut self, line: usize, mut module: QuoteWat<'_>) -> Result<(), String> {
        let name = module.name();
        let wasm = module.encode().map_err(|e| e.to_string())?;
        let link = self.instantiate(line, wasm)?;
        self.bind(name, link);
        Ok(())
    }

    fn definition(&mut self, line: usize, mut module: QuoteWat<'_>) -> Result<(), String> {
        let wasm = module.encode().map_err(|e| e.to_string())?;
        let name = module.name().map_or("", |id| id.name());
        self.definitions.insert(String::new(), (line, wasm.clone()));
        self.definitions.insert(name.to_owned(), (line, wasm));
        Ok(())
    }

    fn instance_of(&mut self, instance: Option<Id<'_>>, module: Option<Id<'_>>) -> Result<(), String> {
        let name = module.map_or("", |id| id.name());
        let (line, wasm) = self.definitions.get(name).ok_or("an instance of no module")?.clone();
        let link = self.instantiate(line, wasm)?;
        self.bind(instance, link);
        Ok(())
    }

    fn bind(&mut self, name: Option<Id<'_>>, link: Link) {
        if let Some(id) = name {
            self.named.insert(id.name().to_owned(), link.clone());
        }
        self.current = Some(link);
    }

    fn instantiate(&mut self, line: usize, wasm: Vec<u8>) -> Result<Link, String> {
        match policy::judge(&wasm) {
            Verdict::Unknown(error) => Err(format!("line {line}: {error}")),
            Verdict::Refused(reason) => {
                let linked = self.providers.link(&wasm).filter(|linked| policy::judge(linked) == Verdict::Accepted);
                if linked.is_none() {
                    self.close_exporters(&wasm);
                }
                self.policy_refusal(line, reason, wasm);
                linked.map_or(Ok(Link::Refused(reason)), |wasm| self.instance(line, wasm, true))
            }
            Verdict::Accepted => self.instance(line, wasm, false),
        }
    }

    fn instance(&mut self, line: usize, wasm: Vec<u8>, linked: bool) -> Result<Link, String> {
        let shape = Shape::of(&wasm)?;
        self.script.instances.push(Instance { line, wasm, shape, linked, steps: vec![], trap: None, closed: None });
        Ok(Link::Instance(self.script.instances.len() - 1))
    }

    /// An importer that does not run would have changed what it shares with these.
    fn close_exporters(&mut self, wasm: &[u8]) {
        for name in policy::import_modules(wasm) {
            if let Some(Link::Instance(at)) = self.registered.get(&name) {
                self.script.instances[*at].closed.get_or_insert(SHARED);
            }
        }
    }

    fn policy_refusal(&mut self, line: usize, reason: &str, wasm: Vec<u8>) {
        let module = QuoteWatTest::Binary(wasm);
        self.script.refusals.push(Refusal { line, kind: "policy", reason: reason.to_owned(), module });
    }

    fn refusal(&mut self, line: usize, kind: &'static str, mut module: QuoteWat<'_>, message: &str) {
        match module.to_test() {
            Ok(module) => self.script.refusals.push(Refusal { line, kind, reason: message.to_owned(), module }),
            Err(_) => self.skip(kind, "its text has no binary form".to_owned()),
        }
    }

    fn assert_return(&mut self, line: usize, exec: WastExecute<'_>, results: &[WastRet<'_>]) {
        let expects = results.iter().map(value::expectation).collect::<Result<Vec<_>, _>>();
        match (exec, expects) {
            (WastExecute::Invoke(call), Ok(expects)) => self.call(line, "return", call, End::Returns(expects)),
            (WastExecute::Invoke(call), Err(reason)) => {
                let done = self.try_call(line, call, End::Any);
                self.skip("return", done.err().unwrap_or_else(|| reason.to_owned()));
            }
            (WastExecute::Get { module, global, .. }, expects) => {
                let link = self.link(module);
                let made = expects.map(|expects| (vec![], End::Returns(expects)));
                if let Err(reason) = self.step(line, link, global, made) {
                    self.skip("return", reason);
                }
            }
            (WastExecute::Wat(_), _) => self.skip("return", "returns from a module".to_owned()),
        }
    }

    fn assert_trap(&mut self, line: usize, exec: WastExecute<'_>, message: &str) -> Result<(), String> {
        let known = |cause: Option<_>| cause.ok_or_else(|| format!("line {line}: no cause for «{message}»"));
        match exec {
            WastExecute::Invoke(call) => self.killed(line, "trap", call, known(causes::of(message))?),
            WastExecute::Wat(module) => self.assert_trap_at_start(line, module, known(causes::at_start(message))?)?,
            WastExecute::Get { .. } => return Err(format!("line {line}: a trap from a global")),
        }
        Ok(())
    }

    fn assert_trap_at_start(&mut self, line: usize, mut module: Wat<'_>, cause: &'static str) -> Result<(), String> {
        let wasm = module.encode().map_err(|e| e.to_string())?;
        match self.instantiate(line, wasm)? {
            Link::Instance(at) => self.script.instances[at].trap = Some(cause),
            Link::Refused(reason) => self.skip("trap", refused(reason)),
        }
        Ok(())
    }

    fn killed(&mut self, line: usize, kind: &'static str, call: WastInvoke<'_>, cause: &'static str) {
        self.call(line, kind, call, End::Killed { kind, cause });
    }

    fn call(&mut self, line: usize, kind: &'static str, call: WastInvoke<'_>, end: End) {
        if let Err(reason) = self.try_call(line, call, end) {
            self.skip(kind, reason);
        }
    }

    fn try_call(&mut self, line: usize, call: WastInvoke<'_>, end: End) -> Result<(), String> {
        let link = self.link(call.module);
        let made = call.args.iter().map(value::argument).collect::<Result<Vec<_>, _>>();
        self.step(line, link, call.name, made.map(|arguments| (arguments, end)))
    }

    fn step(&mut self, line: usize, link: Option<Link>, name: &str, made: Made) -> Result<(), String> {
        let at = match link {
            Some(Link::Instance(at)) => at,
            Some(Link::Refused(reason)) => return Err(refused(reason)),
            None => return Err("names no module".to_owned()),
        };
        let instance = &mut self.script.instances[at];
        if let Some(reason) = instance.closed {
            return Err(reason.to_owned());
        }
        let target = instance.shape.target(name)?;
        let (arguments, end) = made.inspect_err(|_| instance.closed = instance.closed_by_skip(&target))?;
        instance.steps.push(Step { line, target, arguments, end });
        Ok(())
    }

    fn link(&self, module: Option<Id<'_>>) -> Option<Link> {
        match module {
            Some(id) => self.named.get(id.name()).cloned(),
            None => self.current.clone(),
        }
    }

    fn skip(&mut self, kind: &'static str, reason: String) {
        self.script.skipped.push((kind, reason));
    }
}

impl Instance {
    /// A call that was left out may have changed the instance: what follows cannot be judged, unless it only read.
    fn closed_by_skip(&self, target: &Target) -> Option<Reason> {
        match target {
            Target::Function { .. } => Some(AFTER_SKIP),
            Target::Global { .. } => None,
        }
    }
}

fn refused(reason: &str) -> String {
    format!("module refused by policy: {reason}")
}
