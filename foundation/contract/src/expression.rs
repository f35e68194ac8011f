//! Rules in CEL, the Common Expression Language: compiled once, evaluated over named inputs.

use cel::common::types::{CelBool, CelDouble, CelInt, CelString};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::{Context, Env, Program, Value};
use std::sync::{Arc, OnceLock};

/// Bytes of an expression: a rule that is longer is not readable.
const SOURCE_BYTES_MAX: usize = 4_096;

/// The value of a name in an expression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Input<'a> {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A decimal number.
    Number(f64),
    /// A text.
    Text(&'a str),
    /// There is no value; an expression that needs it fails.
    Absent,
}

/// Whatever gives names their values.
pub trait Inputs: Send + Sync {
    /// The value of a name.
    fn input(&self, name: &str) -> Input<'_>;
}

/// A compiled yes-or-no expression.
#[derive(Clone, Debug)]
pub struct Expression {
    source: String,
    program: Arc<Program>,
    reads: Vec<String>,
}

struct Resolver<'a>(&'a dyn Inputs);

impl VariableResolver for Resolver<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        match self.0.input(variable) {
            Input::Bool(value) => Some(CowVal::owned(CelBool::from(value))),
            Input::Int(value) => Some(CowVal::owned(CelInt::from(value))),
            Input::Number(value) => Some(CowVal::owned(CelDouble::from(value))),
            Input::Text(value) => Some(CowVal::owned(CelString::from(value))),
            Input::Absent => None,
        }
    }
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// When it is no CEL or too long.
    pub fn compile(source: &str) -> Result<Self, String> {
        if source.len() > SOURCE_BYTES_MAX {
            return Err(format!("it is longer than {SOURCE_BYTES_MAX} bytes"));
        }
        let program = Program::compile(source).map_err(|error| error.to_string())?;
        let mut reads: Vec<String> = program.references().variables().into_iter().map(str::to_owned).collect();
        reads.sort();
        Ok(Self { source: source.to_owned(), program: Arc::new(program), reads })
    }

    /// The expression as written.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The names that it reads, sorted.
    #[must_use]
    pub fn reads(&self) -> &[String] {
        &self.reads
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// When a value that it needs is absent or of the wrong kind, or when it gives no yes or no.
    pub fn holds(&self, inputs: &dyn Inputs) -> Result<bool, String> {
        static STANDARD: OnceLock<Arc<Env>> = OnceLock::new();
        let resolver = Resolver(inputs);
        let mut context = Context::with_env(Arc::clone(STANDARD.get_or_init(|| Arc::new(Env::stdlib()))));
        context.set_variable_resolver(&resolver);
        match self.program.execute(&context) {
            Ok(Value::Bool(holds)) => Ok(holds),
            Ok(_) => Err("it gives no yes or no".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;

    impl Inputs for One {
        fn input(&self, name: &str) -> Input<'_> {
            match name {
                "orders" => Input::Int(3),
                "units" => Input::Number(1.5),
                "tier" => Input::Text("gold"),
                "member" => Input::Bool(true),
                _ => Input::Absent,
            }
        }
    }

    fn holds(source: &str) -> Result<bool, String> {
        Expression::compile(source).unwrap().holds(&One)
    }

    #[test]
    fn rules_read_their_inputs() {
        assert_eq!(holds("orders >= 3 && units > 1.0"), Ok(true));
        assert_eq!(holds("tier == 'gold' && !member"), Ok(false));
        assert_eq!(holds("orders > 5 && nothing > 1"), Ok(false));
        assert_eq!(Expression::compile("units > orders && tier != ''").unwrap().reads(), ["orders", "tier", "units"]);
    }

    #[test]
    fn what_cannot_be_decided_is_an_error_and_no_panic() {
        for source in ["nothing > 1", "orders", "tier > 1", "orders / 0 > 1", "9223372036854775807 + orders > 0"] {
            assert!(holds(source).is_err(), "{source}");
        }
        let nested = format!("{}1{}", "(".repeat(1_500), ")".repeat(1_500));
        for source in ["orders >", "", "a b", "1 +* 2", nested.as_str(), "x".repeat(5_000).as_str()] {
            assert!(Expression::compile(source).is_err() || source == nested, "{source}");
        }
    }
}
