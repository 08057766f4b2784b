//! Rules of a profile: expressions in CEL over the facts of a visit.
//!
//! CEL is total and small. It is used without its macros, so that an expression cannot loop, and
//! with a bounded length. An expression that fails when it is evaluated gives no answer: the
//! lane then holds, it never admits.

pub mod named;
pub mod types;

use crate::profile::facts::{FactScope, REGISTER, Type, groups};
use cel::{Context, Env, Program, Value};
use named::Named;
use serde_json::Map;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

/// The longest expression.
pub const MAX_LENGTH: usize = 400;

/// The functions that expressions may call beside the operators.
const FUNCTIONS: [&str; 6] = ["size", "contains", "startsWith", "endsWith", "int", "string"];

/// Why an expression is refused when a profile is read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RuleError {
    /// Longer than [`MAX_LENGTH`].
    #[error("the expression is longer than {MAX_LENGTH} characters")]
    Length,
    /// Not CEL.
    #[error("the expression cannot be read: {0}")]
    Syntax(String),
    /// A name that is no group of facts.
    #[error("`{0}` is not a fact; there are: {groups}", groups = groups().join(", "))]
    Fact(String),
    /// A group of facts has no such fact.
    #[error("there is no fact `{name}`; there are: {allowed}")]
    Field {
        /// As it was written.
        name: String,
        /// What there is.
        allowed: String,
    },
    /// A fact that is not there yet.
    #[error("`{name}` is read, but no earlier step makes it; a `{by}` step makes it")]
    NotMade {
        /// As it was written.
        name: String,
        /// The kind of step that would.
        by: &'static str,
    },
    /// A fact of a list that is not looked into yet.
    #[error("`{name}` is read, but no earlier `verify` has `{list}` among its `lists`")]
    NotLookedUp {
        /// As it was written.
        name: String,
        /// The list.
        list: String,
    },
    /// A function that is not allowed.
    #[error("`{0}()` is not available; there are: {functions}", functions = FUNCTIONS.join(", "))]
    Function(String),
    /// Values that do not go together.
    #[error("{0}")]
    Type(String),
}

/// What expressions may call. It is the same for all of them, and larger than they are.
static ENV: LazyLock<Arc<Env>> =
    LazyLock::new(|| Arc::new(Env::default().with_optional_support(false).with_stdlib()));

/// A compiled expression.
pub struct Expression {
    source: String,
    program: Program,
    groups: Vec<String>,
    /// Registers that it reads, each with what it reads of their data.
    registers: BTreeMap<String, RegisterAsked>,
    gives: Type,
}

/// What an expression asks of a register.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RegisterAsked {
    /// The fields, but for the data.
    pub fields: BTreeSet<String>,
    /// The names in its data.
    pub data: BTreeSet<String>,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Expression({})", self.source)
    }
}

impl Expression {
    /// Reads a condition and proves every name and type in it. The environment has no macros: nothing loops.
    pub fn new(source: &str, known: &FactScope) -> Result<Self, RuleError> {
        Self::of(source, known, Type::Bool)
    }

    /// Reads an expression that gives a value of a type.
    pub fn of(source: &str, known: &FactScope, wanted: Type) -> Result<Self, RuleError> {
        Self::one_of(source, known, &[wanted])
    }

    /// Reads an expression that gives a value of one of these types; of any, if none is named.
    pub fn one_of(source: &str, known: &FactScope, wanted: &[Type]) -> Result<Self, RuleError> {
        if source.len() > MAX_LENGTH {
            return Err(RuleError::Length);
        }
        let program = ENV.compile(source).map_err(|e| {
            let first = e.errors.first().map(|e| format!("column {}: {}", e.pos.1, e.msg));
            RuleError::Syntax(first.unwrap_or_default())
        })?;
        let gives = types::of(program.expression(), known)?;
        if !wanted.is_empty() && !wanted.contains(&gives) {
            let wanted: Vec<&str> = wanted.iter().map(|of| of.as_str()).collect();
            let (gives, wanted) = (gives.as_str(), wanted.join(" or "));
            return Err(RuleError::Type(format!("the expression gives {gives}, not {wanted}")));
        }
        let named = named::of(program.expression());
        let groups = named.groups().into_iter().map(str::to_owned).collect();
        let registers = registers(&named);
        Ok(Self { source: source.to_owned(), program, groups, registers, gives })
    }

    /// The type of its value.
    pub const fn gives(&self) -> Type {
        self.gives
    }

    /// The text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Whether it asks something of a group of facts.
    pub fn reads(&self, group: &str) -> bool {
        self.groups.iter().any(|name| name == group)
    }

    /// The registers that it reads.
    pub const fn registers(&self) -> &BTreeMap<String, RegisterAsked> {
        &self.registers
    }

    /// The path of the fact that it is, if it is one and nothing else.
    pub fn path(&self) -> Option<Vec<&str>> {
        named::path(self.program.expression())
    }

    /// What it names.
    pub fn named(&self) -> Named {
        named::of(self.program.expression())
    }

    /// Evaluates to yes or no; anything else is an error text.
    pub fn ask(&self, facts: &Map<String, serde_json::Value>) -> Result<bool, String> {
        let answer = self.evaluate(facts)?;
        if let Value::Bool(answer) = answer {
            return Ok(answer);
        }
        Err(format!("the expression gives {:?}, not true or false", answer.type_of()))
    }

    /// Evaluates to a whole number; anything else is an error text.
    pub fn number(&self, facts: &Map<String, serde_json::Value>) -> Result<i64, String> {
        let answer = self.evaluate(facts)?;
        if let Value::Int(number) = answer {
            return Ok(number);
        }
        Err(format!("the expression gives {:?}, not a whole number", answer.type_of()))
    }

    /// Evaluates to the value that its type promises; anything else is an error text.
    pub fn value(&self, facts: &Map<String, serde_json::Value>) -> Result<serde_json::Value, String> {
        let value = self.evaluate(facts)?;
        match json(&value).filter(|json| self.gives.holds(json)) {
            Some(json) => Ok(json),
            None => Err(format!("the expression gives {:?}, not {}", value.type_of(), self.gives.as_str())),
        }
    }

    fn evaluate(&self, facts: &Map<String, serde_json::Value>) -> Result<Value, String> {
        let mut context = Context::with_env(ENV.clone());
        for name in &self.groups {
            let group = facts.get(name).unwrap_or(&serde_json::Value::Null);
            context.add_variable_from_value(name.as_str(), value(group));
        }
        self.program.execute(&context).map_err(|e| e.to_string())
    }
}

/// What is read of registers: `register.NAME.FIELD` and `register.NAME.data.X`.
fn registers(named: &Named) -> BTreeMap<String, RegisterAsked> {
    let mut all: BTreeMap<String, RegisterAsked> = BTreeMap::new();
    for path in &named.facts {
        let [group, name, field @ ..] = path.as_slice() else { continue };
        if group != REGISTER {
            continue;
        }
        let asked = all.entry(name.clone()).or_default();
        match field {
            [field] => drop(asked.fields.insert(field.clone())),
            [_, data, ..] => drop(asked.data.insert(data.clone())),
            [] => {}
        }
    }
    all
}

/// A fact as CEL has it. Whole numbers are signed, so that they compute with those in expressions.
fn value(json: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => {
            n.as_i64().map_or_else(|| Value::Float(n.as_f64().unwrap_or(f64::NAN)), Value::Int)
        }
        Json::String(s) => Value::String(Arc::new(s.clone())),
        Json::Array(all) => Value::List(Arc::new(all.iter().map(value).collect())),
        Json::Object(map) => {
            let fields: HashMap<String, Value> = map.iter().map(|(k, v)| (k.clone(), value(v))).collect();
            Value::Map(fields.into())
        }
    }
}

/// The value of an expression as a fact; one that no fact can be is none.
fn json(value: &Value) -> Option<serde_json::Value> {
    use serde_json::Value as Json;
    Some(match value {
        Value::Bool(b) => Json::from(*b),
        Value::Int(n) => Json::from(*n),
        Value::UInt(n) => Json::from(*n),
        Value::Float(n) => Json::Number(serde_json::Number::from_f64(*n)?),
        Value::String(s) => Json::from(s.as_str()),
        Value::List(all) => Json::Array(all.iter().map(json).collect::<Option<_>>()?),
        Value::Map(_)
        | Value::Function(..)
        | Value::Bytes(_)
        | Value::Opaque(_)
        | Value::Struct(_)
        | Value::Null => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::step::KINDS;
    use serde_json::json;

    fn facts(json: serde_json::Value) -> Map<String, serde_json::Value> {
        json.as_object().unwrap().clone()
    }

    fn known() -> FactScope {
        let answers = [("crew", Type::Number), ("plate", Type::Text), ("note", Type::Text)];
        let made_by = KINDS.iter().map(|about| about.name).collect();
        let answers = answers.map(|(id, of)| (id.to_owned(), of)).into();
        FactScope { made_by, answers, ..FactScope::default() }
    }

    fn read(source: &str) -> Result<Expression, RuleError> {
        Expression::new(source, &known())
    }

    #[test]
    fn an_expression_answers_or_fails_but_never_guesses() {
        let f = facts(json!({
            "health": {"colour": "red", "test_age_h": 47.5, "known": true},
            "answers": {"crew": 2, "note": "all(right)", "plate": ""},
            "pass": {"crew": 3, "approvals": ["transport"]},
        }));
        let ask = |text: &str| read(text).unwrap().ask(&f);
        assert_eq!(ask(r#"health.colour == "red""#), Ok(true));
        assert_eq!(ask("health.test_age_h > 48"), Ok(false));
        assert_eq!(ask("health.known && health.test_age_h < 48.0"), Ok(true));
        assert_eq!(ask(r#"answers["crew"] < pass.crew"#), Ok(true));
        assert_eq!(ask("answers.crew + 1 == pass.crew"), Ok(true));
        assert_eq!(ask(r#""transport" in pass.approvals"#), Ok(true));
        assert_eq!(
            ask(r#"answers.note.contains("all(")"#),
            Ok(true),
            "a text that looks like a macro is a text"
        );
        assert!(ask("health.risk_area").is_err(), "a fact that was never made is an error");
        assert!(ask("temp.state == 'high'").is_err(), "a group that was never made is an error");
    }

    #[test]
    fn an_expression_gives_a_value_of_the_type_that_was_proved() {
        let f = facts(json!({
            "health": {"test_age_h": 47.5, "known": true},
            "answers": {"crew": 2, "note": "n", "plate": 7},
            "pass": {"approvals": ["transport"], "plate": "辽P12345", "role": ""},
        }));
        let value = |text: &str| {
            let read = Expression::one_of(text, &known(), &[]).unwrap();
            (read.gives(), read.value(&f))
        };
        assert_eq!(value("pass.approvals"), (Type::Texts, Ok(json!(["transport"]))));
        assert_eq!(value("['a', pass.plate]"), (Type::Texts, Ok(json!(["a", "辽P12345"]))));
        assert_eq!(value("pass.role != '' ? pass.role : 'none'"), (Type::Text, Ok(json!("none"))));
        assert_eq!(value("answers.crew + 1"), (Type::Number, Ok(json!(3))));
        assert_eq!(value("health.test_age_h"), (Type::Decimal, Ok(json!(47.5))));
        assert_eq!(value("health.known"), (Type::Bool, Ok(json!(true))));
        assert!(value("answers.plate").1.is_err(), "a number where a text was promised");
        assert!(value("pass.crew").1.is_err(), "a fact that was never made");
        let wrong = Expression::one_of("pass.crew", &known(), &[Type::Text, Type::Texts]).unwrap_err();
        assert_eq!(wrong.to_string(), "the expression gives a whole number, not a text or a list of texts");
    }

    #[test]
    fn names_are_checked_when_the_profile_is_read() {
        for text in ["colour == 'red'", "my_answers.x == 1"] {
            assert!(matches!(read(text), Err(RuleError::Fact(_))), "{text}");
        }
        for text in [
            "health.typo == ''",
            "pass.xyz == ''",
            "seal.counnt == 0",
            "visit.foo == 1",
            "answers.cough == 'yes'",
            r#"answers["cough"] == 'yes'"#,
            "answers .cough == 'yes'",
            "answers\n.cough == 'yes'",
        ] {
            assert!(matches!(read(text), Err(RuleError::Field { .. })), "{text}");
        }
        assert!(read(r#"lane.id == "answers.cough""#).is_ok(), "a name within a text is no name");
        for text in ["foo(pass.plate)", "lane.region.matches('x')"] {
            assert!(matches!(read(text), Err(RuleError::Function(_))), "{text}");
        }
        assert!(matches!(read("pass.x =="), Err(RuleError::Syntax(_))));
        for looping in [
            "pass.approvals.exists(x, x == 'a')",
            "pass.approvals.all(visit, visit == 'a')",
            "has(pass.plate)",
            "pass.approvals.map(lane, lane == 'a')",
        ] {
            assert!(read(looping).is_err(), "no macros, so no loops: {looping}");
        }
        assert_eq!(read(&"1".repeat(401)).unwrap_err(), RuleError::Length);
    }

    #[test]
    fn values_of_different_types_are_refused_when_the_profile_is_read() {
        for text in [
            "temp.mdeg == '38'",
            "health.colour > 3",
            "health.known == 'yes'",
            "health.colour",
            "pass.crew",
            "pass == 1",
            "pass.plate.x == ''",
            "pass.approvals == ''",
            "pass.plate in ['a', 1]",
            "pass.crew in pass.approvals",
            "size(pass.crew) == 1",
            "!pass.plate",
            "health.known && pass.crew",
            "answers.crew + health.test_age_h > 3.0",
            "pass.crew / answers.crew > 1",
            "int(answers.note) > 3",
            "pass.approvals[0] == 'a'",
            "answers[pass.plate] == 'a'",
            "answers['cr' + 'ew'] == 1",
            "pass.plate == null",
            "health.known ? pass.plate : pass.crew",
        ] {
            assert!(matches!(read(text), Err(RuleError::Type(_))), "{text}: {:?}", read(text));
        }
    }
}
