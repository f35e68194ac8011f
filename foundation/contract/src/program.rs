//! Programs in jq, compiled once, run over hostile payloads: every loop of a program counts its steps, so that a run ends
//! by its limits however the payload drives it. A program sees nothing but its input: no files, no environment, no clock.

mod steps;

use jaq_core::load::parse::Def;
use jaq_core::load::{Arena, Error as LoadError, File, Lexer, Loader, Parser, span};
use jaq_core::native::{Fun, bome, run, v};
use jaq_core::{Compiler, Ctx, DataT, Error, Filter, Lut, Vars, data::HasLut, unwrap_valr};
use jaq_json::{Val, read};
use model::Decimal;
use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// Bytes of a program: one that is longer is not readable.
const SOURCE_BYTES_MAX: usize = 32 * 1024;
/// Stack of the thread that runs programs. Only what is used is taken; the steps of a run bound how deep a value can grow.
const STACK_BYTES: usize = 256 << 20;
/// How much of it a program may use; the rest is for reading, dropping and writing values.
const STACK_BYTES_MAX: usize = 64 << 20;
/// Longest text and longest list that a loop may build up.
const VALUE_BYTES_MAX: usize = 16 << 20;
const VALUE_ITEMS_MAX: usize = 1 << 20;
/// Steps between two looks at the clock.
const STEPS_A_LOOK: u64 = 256;

/// Filters that see more than their input, or whose answer depends on more than it.
const SEALED: [&str; 9] = [
    "env",
    "now",
    "halt",
    "debug_empty",
    "stderr_empty",
    "localtime",
    "strflocaltime",
    "fromjson",
    "input_line_number",
];
/// Definitions that are made of those.
const SEALED_DEFINITIONS: [&str; 4] = ["debug", "stderr", "halt", "halt_error"];

const TICK: &str = "!tick";
const TICK_VAR: &str = "$!tick";
const TIMES: &str = "!times";
const PROGRAM: &str = "__program";
/// The variable that tells of the delivery.
pub const VARIABLE: &str = "$delivery";

/// What a run may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Steps of all loops together.
    pub steps: u64,
    /// Time.
    pub time: Duration,
    /// Values that come out.
    pub outputs: usize,
    /// Bytes of the values that come out, as JSON.
    pub output_bytes: usize,
    /// Lists and objects within each other, in what goes in.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { steps: 1_000_000, time: Duration::from_secs(2), outputs: 10_000, output_bytes: 8 << 20, depth: 64 }
    }
}

/// Why a program is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramError {
    /// Line of the program, from 1.
    pub line: usize,
    /// Column of the line in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub reason: String,
}

impl std::fmt::Display for ProgramError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {} column {}: {}", self.line, self.column, self.reason)
    }
}

/// Why a run gave nothing. Texts hold no value of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunError {
    /// The payload is not JSON, or nested deeper than allowed.
    Payload(String),
    /// The program failed on it.
    Failed(String),
    /// A limit was reached.
    Limit(&'static str),
}

impl std::fmt::Display for RunError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Payload(reason) => write!(f, "the payload cannot be read: {reason}"),
            Self::Failed(reason) => write!(f, "the program failed: {reason}"),
            Self::Limit(which) => write!(f, "the program reached its limit of {which}"),
        }
    }
}

/// Which limit ended a run; travels as a panic that no `try` of a program can catch.
struct Spent(&'static str);

struct Sealed;

#[derive(Clone)]
struct Run<'a> {
    lut: &'a Lut<Sealed>,
    budget: &'a Budget,
}

impl DataT for Sealed {
    type V<'a> = Val;
    type Data<'a> = Run<'a>;
}

impl<'a> HasLut<'a, Sealed> for Run<'a> {
    fn lut(&self) -> &'a Lut<Sealed> {
        self.lut
    }
}

/// What is left for the programs of one evaluation.
pub struct Budget {
    limits: Limits,
    left: Cell<u64>,
    deadline: Instant,
    base: usize,
}

/// Where the stack is now.
fn stack() -> usize {
    let here = 0_u8;
    std::ptr::from_ref(&here) as usize
}

impl Budget {
    fn new(limits: Limits) -> Self {
        Self { limits, left: Cell::new(limits.steps), deadline: Instant::now() + limits.time, base: stack() }
    }

    fn step(&self, value: &Val) {
        let left = self.left.get();
        if left == 0 {
            resume_unwind(Box::new(Spent("steps")));
        }
        self.left.set(left - 1);
        if left.is_multiple_of(STEPS_A_LOOK) && Instant::now() > self.deadline {
            resume_unwind(Box::new(Spent("time")));
        }
        if self.base.abs_diff(stack()) > STACK_BYTES_MAX {
            resume_unwind(Box::new(Spent("recursion")));
        }
        let large = match value {
            Val::TStr(text) | Val::BStr(text) => text.len() > VALUE_BYTES_MAX,
            Val::Arr(items) => items.len() > VALUE_ITEMS_MAX,
            Val::Obj(fields) => fields.len() > VALUE_ITEMS_MAX,
            Val::Num(_) | Val::Null | Val::Bool(_) => false,
        };
        if large {
            resume_unwind(Box::new(Spent("size")));
        }
    }
}

/// A compiled program.
#[derive(Clone)]
pub struct Program {
    source: Arc<str>,
    filter: Arc<Filter<Sealed>>,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Program").field(&self.source).finish()
    }
}

/// A value that programs run on.
pub struct Input(Val);

/// Does something with programs on a thread of its own, which is given up when it takes too long.
///
/// # Errors
/// What the work fails with, or the limit that it reached.
pub fn evaluate<T: Send + 'static>(
    limits: Limits,
    work: impl FnOnce(&Budget) -> Result<T, RunError> + Send + 'static,
) -> Result<T, RunError> {
    let (tell, told) = mpsc::sync_channel(1);
    let thread = std::thread::Builder::new().name("program".to_owned()).stack_size(STACK_BYTES);
    let spawned = thread.spawn(move || {
        let budget = Budget::new(limits);
        let outcome = catch_unwind(AssertUnwindSafe(|| work(&budget)));
        // Nobody listens any more when the work came too late.
        drop(tell.send(outcome.unwrap_or_else(|panic| Err(why(panic.as_ref())))));
    });
    if spawned.is_err() {
        return Err(RunError::Limit("threads"));
    }
    match told.recv_timeout(limits.time * 2 + Duration::from_secs(1)) {
        Ok(outcome) => outcome,
        Err(RecvTimeoutError::Timeout) => Err(RunError::Limit("time")),
        Err(RecvTimeoutError::Disconnected) => Err(RunError::Failed("a fault of ours".to_owned())),
    }
}

fn why(panic: &(dyn Any + Send)) -> RunError {
    match panic.downcast_ref::<Spent>() {
        Some(Spent(which)) => RunError::Limit(which),
        None => RunError::Failed("a fault of ours".to_owned()),
    }
}

impl Input {
    /// Reads a payload.
    ///
    /// # Errors
    /// When it is not JSON, or nested deeper than the limits allow.
    pub fn read(payload: &[u8], budget: &Budget) -> Result<Self, RunError> {
        if depth(payload) > budget.limits.depth {
            return Err(RunError::Payload(format!("it is nested deeper than {} levels", budget.limits.depth)));
        }
        let text = std::str::from_utf8(payload);
        let text = text.map_err(|error| RunError::Payload(format!("not UTF-8 at byte {}", error.valid_up_to())))?;
        match read::parse_single(text.as_bytes()) {
            Ok(value) => Ok(Self(value)),
            Err(error) => {
                // The place is told, what stands there is not.
                let place = error.to_string();
                let place = place.split(':').next().unwrap_or_default();
                Err(RunError::Payload(format!("not JSON at {place}")))
            }
        }
    }
}

/// How deep lists and objects of a JSON text stand in each other.
fn depth(text: &[u8]) -> usize {
    let (mut now, mut most, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                now += 1;
                most = most.max(now);
            }
            b']' | b'}' if !quoted => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

impl Program {
    /// Compiles a program.
    ///
    /// # Errors
    /// Where it is no jq, names a filter that there is not, or multiplies in place, which cannot be held within limits.
    pub fn compile(source: &str) -> Result<Self, ProgramError> {
        if source.len() > SOURCE_BYTES_MAX {
            let reason = format!("it is longer than {SOURCE_BYTES_MAX} bytes");
            return Err(ProgramError { line: 1, column: 1, reason });
        }
        // As it stands first: faults are told where they are. Then with its steps counted.
        filter(definitions(), source, source)?;
        let tokens = Lexer::new(source).lex().map_err(|_| at(source, "", "it is no jq"))?;
        let term = Parser::new(&tokens).parse(|parser| parser.term());
        let term = term.map_err(|_| at(source, "", "it is one expression, without imports"))?;
        let body =
            steps::counted(term).map_err(|place| at(source, place, "`*=` is not taken here; write `.a |= . * 2`"))?;
        let mut all = Vec::new();
        for def in definitions() {
            all.push(steps::definition(def).map_err(|_| at(source, "", "the standard library does not fit"))?);
        }
        all.push(Def { name: PROGRAM, args: Vec::new(), body });
        let filter = filter(all.into_iter(), PROGRAM, source)?;
        Ok(Self { source: source.into(), filter: Arc::new(filter) })
    }

    /// The program as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Runs it; gives what comes out as texts of JSON.
    ///
    /// # Errors
    /// When it fails or reaches a limit.
    pub fn run(&self, input: &Input, delivery: &Input, budget: &Budget) -> Result<Vec<String>, RunError> {
        let data = Run { lut: &self.filter.lut, budget };
        let context = Ctx::<Sealed>::new(data, Vars::new([delivery.0.clone()]));
        let (mut outputs, mut bytes) = (Vec::new(), 0);
        for value in self.filter.id.run((context, input.0.clone())).map(unwrap_valr) {
            let value = value.map_err(|error| RunError::Failed(self.told(error)))?;
            budget.step(&value);
            let text = value.to_string();
            bytes += text.len();
            if outputs.len() >= budget.limits.outputs || bytes > budget.limits.output_bytes {
                return Err(RunError::Limit("output"));
            }
            outputs.push(text);
        }
        Ok(outputs)
    }

    /// Runs it; gives the one text or number that comes out, or none for `null` or nothing.
    ///
    /// # Errors
    /// As [`Program::run`], and when several or other values come out.
    pub fn text(&self, input: &Input, delivery: &Input, budget: &Budget) -> Result<Option<String>, RunError> {
        let outputs = self.run(input, delivery, budget)?;
        let [one] = outputs.as_slice() else {
            let some = |_: &String| RunError::Failed("it gives more than one value".to_owned());
            return outputs.first().map(some).map_or(Ok(None), Err);
        };
        match one.as_bytes() {
            b"null" => Ok(None),
            [b'"', ..] => read_text(one).map(Some),
            [b'-' | b'0'..=b'9', ..] => Ok(Some(one.clone())),
            _ => Err(RunError::Failed("it gives neither a text nor a number".to_owned())),
        }
    }

    /// An error in words that hold nothing of the payload: those that stand in the program, or the kind of the error.
    fn told(&self, error: Error<Val>) -> String {
        const KINDS: [&str; 6] =
            ["cannot index", "cannot use", "cannot calculate", "cannot parse", "invalid path", "invalid regex"];
        let text = match error.into_val() {
            Val::TStr(text) => String::from_utf8_lossy(&text).into_owned(),
            _ => String::new(),
        };
        if text.len() > 3 && self.source.contains(&text) {
            return text;
        }
        let kind = KINDS.iter().find(|kind| text.starts_with(**kind));
        kind.map_or_else(
            || "an error of its own".to_owned(),
            |kind| format!("it {kind} a value of the payload").replace("it invalid", "invalid"),
        )
    }
}

fn read_text(json: &str) -> Result<String, RunError> {
    match read::parse_single(json.as_bytes()) {
        Ok(Val::TStr(text)) => {
            String::from_utf8(text.to_vec()).map_err(|_| RunError::Failed("it gives no UTF-8".to_owned()))
        }
        _ => Err(RunError::Failed("it gives no text".to_owned())),
    }
}

/// Where in a program something is.
fn at(source: &str, part: &str, reason: &str) -> ProgramError {
    let within = source.as_bytes().as_ptr_range();
    let start = if within.contains(&part.as_ptr()) { span(source, part).start } else { source.len() };
    let before = source.get(..start).unwrap_or(source);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    ProgramError { line, column, reason: reason.to_owned() }
}

#[allow(clippy::map_identity, reason = "it shortens the lifetime of the names")]
fn definitions<'s>() -> impl Iterator<Item = Def<&'s str>> {
    let all = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let open = all.filter(|def| !SEALED_DEFINITIONS.contains(&def.name));
    open.map(|def| -> Def<&'s str> { def })
}

fn functions() -> impl Iterator<Item = Fun<Sealed>> {
    let all = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let tick: Fun<Sealed> = run((TICK, v(0), |cv| {
        cv.0.data().budget.step(&cv.1);
        bome(Ok(Val::Null))
    }));
    let times: Fun<Sealed> = run((TIMES, v(2), |mut cv| {
        let (right, left) = (cv.0.pop_var(), cv.0.pop_var());
        let text = |value: &Val| matches!(value, Val::TStr(_) | Val::BStr(_));
        if text(&left) || text(&right) {
            return bome(Err(Error::str("a text cannot be multiplied here")));
        }
        bome(left * right)
    }));
    let fromjson: Fun<Sealed> = run(("fromjson", v(0), |cv| {
        let budget = cv.0.data().budget;
        let text = match &cv.1 {
            Val::TStr(text) => text,
            _ => return bome(Err(Error::str("cannot parse what is no text"))),
        };
        bome(Input::read(text, budget).map(|input| input.0).map_err(|_| Error::str("cannot parse this text as JSON")))
    }));
    let minor: Fun<Sealed> = run(("minor", v(1), |mut cv| {
        let digits = cv.0.pop_var();
        let amount = minor(&cv.1, &digits)
            .ok_or_else(|| Error::str("cannot use this amount: it is no decimal of so many digits"));
        bome(amount)
    }));
    all.filter(|(name, ..)| !SEALED.contains(name)).chain([tick, times, fromjson, minor])
}

/// An amount in major units, as a number or a text, in minor units of so many digits: exact, or nothing.
fn minor(amount: &Val, digits: &Val) -> Option<Val> {
    let text = match amount {
        Val::TStr(text) => std::str::from_utf8(text).ok()?.trim().to_owned(),
        Val::Num(number) => number.to_string(),
        _ => return None,
    };
    let amount: Decimal = text.parse().ok()?;
    let digits: u32 = digits.to_string().parse().ok().filter(|digits| *digits <= 4)?;
    let scaled = amount.checked_mul(Decimal::from(10_i64.pow(digits)))?.normalize();
    let scaled: i64 = scaled.to_string().parse().ok()?;
    Some(Val::from(isize::try_from(scaled).ok()?))
}

/// Compiles definitions and a main program; faults are told in terms of `source`.
fn filter<'s>(
    definitions: impl Iterator<Item = Def<&'s str>>,
    main: &'s str,
    source: &'s str,
) -> Result<Filter<Sealed>, ProgramError> {
    let arena = Arena::default();
    let modules = Loader::new(definitions).load(&arena, File { code: main, path: () });
    let modules = modules.map_err(|errors| match errors.into_iter().next().map(|(_, error)| error) {
        Some(LoadError::Lex(errors)) => match errors.first() {
            Some((expected, found)) => at(source, found, &format!("expected {}", expected.as_str())),
            None => at(source, "", "it is no jq"),
        },
        Some(LoadError::Parse(errors)) => match errors.first() {
            Some((expected, found)) => at(source, found, &format!("expected {}", expected.as_str())),
            None => at(source, "", "it is no jq"),
        },
        Some(LoadError::Io(errors)) => at(source, errors.first().map_or("", |(path, _)| path), "it cannot import"),
        None => at(source, "", "it is no jq"),
    })?;
    let compiler: Compiler<&str, Sealed> = jaq_core::Compiler::default();
    let compiled = compiler.with_funs(functions()).with_global_vars([VARIABLE]).compile(modules);
    compiled.map_err(|errors| {
        let first = errors.into_iter().flat_map(|(_, errors)| errors).next();
        first.map_or_else(
            || at(source, "", "it is no jq"),
            |(name, undefined)| at(source, name, &format!("there is no {} `{name}` here", undefined.as_str())),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(code: &str, payload: &str) -> Result<Vec<String>, RunError> {
        let limits = Limits { steps: 200_000, time: Duration::from_secs(20), ..Limits::default() };
        run_within(limits, code, payload)
    }

    fn run_within(limits: Limits, code: &str, payload: &str) -> Result<Vec<String>, RunError> {
        let program = Program::compile(code).unwrap_or_else(|error| panic!("{code}: {error}"));
        let payload = payload.to_owned();
        evaluate(limits, move |budget| {
            let delivery = Input::read(br#"{"id": "d-1"}"#, budget)?;
            program.run(&Input::read(payload.as_bytes(), budget)?, &delivery, budget)
        })
    }

    fn one(code: &str, payload: &str) -> String {
        run(code, payload).unwrap_or_else(|error| panic!("{code}: {error}")).join(" ")
    }

    #[test]
    fn programs_mean_what_they_mean_in_jq() {
        for (code, payload, wanted) in [
            (".a.b", r#"{"a":{"b":[1,"x"]}}"#, r#"[1,"x"]"#),
            (
                ".[] | {type: \"order\", body: ., of: $delivery.id}",
                r#"[{"n":1}]"#,
                r#"{"type":"order","body":{"n":1},"of":"d-1"}"#,
            ),
            ("[.[] | select(.n > 1) | .n * 2]", r#"[{"n":1},{"n":2},{"n":3}]"#, "[4,6]"),
            ("to_entries | map(.key)", r#"{"b":1,"a":2}"#, r#"["b","a"]"#),
            ("del(.a[] | select(. == 2))", r#"{"a":[1,2,3]}"#, r#"{"a":[1,3]}"#),
            (".[] |= . + 1", "[1,2]", "[2,3]"),
            ("[paths]", r#"{"a":[1]}"#, r#"[["a"],["a",0]]"#),
            ("reduce .[] as $x (0; . + $x)", "[1,2,3]", "6"),
            ("[limit(3; repeat(1))]", "0", "[1,1,1]"),
            ("[.[] + .[]]", "[1,2]", "[2,3,3,4]"),
            ("def twice(f): f | f; twice(. + 1)", "1", "3"),
            ("until(. > 100; . * 2)", "1", "128"),
            ("fromjson | .a", r#""{\"a\": 1}""#, "1"),
            ("gsub(\"-\"; \"\")", r#""a-b-c""#, r#""abc""#),
            ("todate", "1425599621", r#""2015-03-05T23:53:41Z""#),
            (".a // \"none\"", "{}", r#""none""#),
            ("[range(3)]", "0", "[0,1,2]"),
            ("try error(\"no\") catch .", "0", r#""no""#),
        ] {
            assert_eq!(one(code, payload), wanted, "{code}");
        }
    }

    #[test]
    fn numbers_stay_what_they_are() {
        assert_eq!(one(".id, .p", r#"{"id": 1234567890123456789012, "p": 1.10}"#), "1234567890123456789012 1.10");
        for (amount, digits, wanted) in [
            ("19.99", 2, "1999"),
            (r#""19.9""#, 2, "1990"),
            ("1.10", 2, "110"),
            ("-0.5", 1, "-5"),
            ("7", 0, "7"),
            ("0.001", 3, "1"),
        ] {
            assert_eq!(one(&format!("minor({digits})"), amount), wanted, "{amount}");
        }
        for amount in ["19.999", r#""x""#, "null", "1e30", r#""""#] {
            assert!(run("minor(2)", amount).is_err(), "{amount}");
        }
    }

    #[test]
    fn no_loop_goes_on_for_ever() {
        let nulls = format!("[{}]", vec!["null"; 2_000].join(","));
        for (code, payload) in [
            ("def f: f; f", "0"),
            ("def f: f, f; f", "0"),
            ("[range(1e12)]", "0"),
            ("last(range(1e12))", "0"),
            ("[repeat(1)]", "0"),
            ("isempty(repeat(1) | empty)", "0"),
            ("reduce range(1e12) as $i (.; [.])", "0"),
            ("last(foreach range(1e12) as $i (0; . + 1))", "0"),
            ("def f: 1 + f; f", "0"),
            ("try (def f: f; f) catch 1", "0"),
            ("def f: try error(1) catch f; f", "0"),
            ("label $out | repeat(1) | if . == 2 then break $out else empty end", "0"),
            ("reduce range(100) as $i (\"x\"; . + .)", "0"),
            ("reduce range(100) as $i ([0]; . + .) | length", "0"),
            ("[.[] as $a | .[] as $b | .[] as $c | 1] | length", &nulls),
            ("(.[] + .[] + .[]) // 1", &nulls),
            ("{a: .[], b: .[], c: .[]} | empty", &nulls),
            ("[.. , .. , (.. as $a | .. as $b | .. as $c | 1)] | length", &nulls),
            ("[limit(1e12; repeat(1))]", "0"),
            ("recurse([.])", "0"),
            ("[splits(\"\")] | until(false; .)", r#""abc""#),
            ("walk(until(false; .))", "[1]"),
            ("sort_by(until(false; .))", "[1,2]"),
        ] {
            assert!(matches!(run(code, payload), Err(RunError::Limit(_))), "{code}: {:?}", run(code, payload));
        }
        let brief = Limits { time: Duration::from_millis(20), steps: u64::MAX, ..Limits::default() };
        assert_eq!(run_within(brief, "def f: f; f", "0"), Err(RunError::Limit("time")));
        let few = Limits { outputs: 3, ..Limits::default() };
        assert_eq!(run_within(few, ".[]", "[1,2,3,4]"), Err(RunError::Limit("output")));
        let small = Limits { output_bytes: 10, ..Limits::default() };
        assert_eq!(run_within(small, ".", r#""a long text""#), Err(RunError::Limit("output")));
    }

    #[test]
    fn hostile_payloads_harm_nobody() {
        let deep = format!("{}{}", "[".repeat(500_000), "]".repeat(500_000));
        assert!(matches!(run(".", &deep), Err(RunError::Payload(_))));
        assert!(matches!(run("fromjson", &format!("\"{deep}\"")), Err(RunError::Failed(_))));
        assert!(run("fromjson? // \"no\"", &format!("\"{deep}\"")).is_ok());
        assert!(run("\"x\" * .n", r#"{"n": 1000000000000}"#).is_err());
        for payload in ["", "{", "nul", "[1,]", r#"{"a" 1}"#, "1 2", "\u{feff}{}"] {
            let error = run(".", payload).unwrap_err();
            assert!(matches!(error, RunError::Payload(_)), "{payload}: {error}");
        }
        // Brackets in texts are no depth.
        assert!(run(".", &format!("\"{}\"", "[".repeat(10_000))).is_ok());
    }

    #[test]
    fn programs_see_nothing_but_their_input() {
        for code in [
            "env",
            "$ENV",
            "now",
            "input",
            "inputs",
            "debug",
            "stderr",
            "halt",
            "localtime",
            "input_filename",
            "include \"x\"; .",
            "import \"x\" as x; .",
            "import \"x\" as $x; $x",
            "$__prog_args",
            "getenv(\"HOME\")",
        ] {
            assert!(Program::compile(code).is_err(), "{code}");
        }
    }

    #[test]
    fn faults_are_told_where_they_are() {
        for (code, line, column) in [
            (".a |", 1, 5),
            ("foo(1)", 1, 1),
            ("\n\n  .a | bar", 3, 8),
            ("{a: 1", 1, 6),
            ("$nothing", 1, 1),
            (".a *= 2", 1, 2),
            ("", 1, 1),
            ("'x'", 1, 1),
        ] {
            let error = Program::compile(code).unwrap_err();
            assert_eq!((error.line, error.column), (line, column), "{code}: {error}");
        }
        assert!(Program::compile(&" ".repeat(40_000)).is_err());
    }

    #[test]
    fn errors_hold_nothing_of_the_payload() {
        let payload = r#"{"mail": "zoe@example.com", "n": {"x": 4711}}"#;
        for code in [
            ".mail.x",
            ".mail + 1",
            "error(.mail)",
            "error",
            ".n | error",
            ".mail | tonumber",
            ".n - .mail",
            ".mail | keys",
            "error(\"for \\(.mail)\")",
            ".mail | fromjson",
            "[.n] | implode",
            ".mail | test(.mail + \"(\")",
        ] {
            let error = run(code, payload).unwrap_err().to_string();
            assert!(!error.contains("zoe") && !error.contains("4711"), "{code}: {error}");
        }
        assert_eq!(run("error(\"no till\")", payload), Err(RunError::Failed("no till".to_owned())));
    }

    #[test]
    fn a_text_is_one_value() {
        let text = |code: &str| {
            let program = Program::compile(code).unwrap();
            evaluate(Limits::default(), move |budget| {
                let input = Input::read(br#"{"t": "x", "n": 12345678901234567890, "o": {}}"#, budget)?;
                program.text(&input, &Input::read(b"{}", budget)?, budget)
            })
        };
        assert_eq!(text(".t"), Ok(Some("x".to_owned())));
        assert_eq!(text(".n"), Ok(Some("12345678901234567890".to_owned())));
        assert_eq!(text(".nothing"), Ok(None));
        assert_eq!(text("empty"), Ok(None));
        for code in [".o", ".t, .t", "true"] {
            assert!(text(code).is_err(), "{code}");
        }
    }
}
