//! Rules of a profile: expressions in CEL over the facts of a visit.
//!
//! CEL is total and small. It is used without its macros, so that an expression cannot loop, and
//! with a bounded length. An expression that fails when it is evaluated gives no answer: the
//! lane then holds, it never admits.

use cel::{Context, Env, Program, Value};
use serde_json::Map;
use std::sync::Arc;

/// The longest expression.
pub const MAX_LENGTH: usize = 400;

/// The facts that expressions may name.
pub const FACTS: [&str; 8] = ["pass", "health", "temp", "answers", "seal", "photos", "lane", "visit"];

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
    /// A name that is not a fact.
    #[error("`{0}` is not a fact; there are: pass, health, temp, answers, seal, photos, lane, visit")]
    Fact(String),
    /// A function that is not allowed.
    #[error("`{0}()` is not available; there are: size, contains, startsWith, endsWith, int, string")]
    Function(String),
}

/// A compiled expression.
pub struct Expression {
    source: String,
    env: Arc<Env>,
    program: Program,
    facts: Vec<String>,
}

impl std::fmt::Debug for Expression {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Expression({})", self.source)
    }
}

impl Expression {
    /// Reads an expression and checks every name in it.
    pub fn new(source: &str) -> Result<Self, RuleError> {
        if source.len() > MAX_LENGTH {
            return Err(RuleError::Length);
        }
        // A macro loops; whatever its variable is called, it is refused by its name.
        for name in ["all", "exists", "exists_one", "existsOne", "map", "filter", "has"] {
            if source.contains(&format!("{name}(")) {
                return Err(RuleError::Function(name.to_owned()));
            }
        }
        let env = Arc::new(Env::default().with_stdlib());
        let program = env.compile(source).map_err(|e| {
            let first = e.errors.first().map(|e| format!("column {}: {}", e.pos.1, e.msg));
            RuleError::Syntax(first.unwrap_or_default())
        })?;
        let names = program.references();
        let mut facts: Vec<String> = names.variables().iter().map(|v| (*v).to_owned()).collect();
        facts.sort();
        if let Some(unknown) = facts.iter().find(|f| !FACTS.contains(&f.as_str())) {
            return Err(RuleError::Fact(unknown.clone()));
        }
        for function in names.functions() {
            let operator = !function.starts_with(|c: char| c.is_ascii_alphabetic());
            if !operator && !FUNCTIONS.contains(&function) {
                return Err(RuleError::Function(function.to_owned()));
            }
        }
        Ok(Self { source: source.to_owned(), env, program, facts })
    }

    /// The facts that it reads.
    pub fn facts(&self) -> &[String] {
        &self.facts
    }

    /// The text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Evaluates to yes or no; anything else is an error text.
    pub fn ask(&self, facts: &Map<String, serde_json::Value>) -> Result<bool, String> {
        let mut context = Context::with_env(self.env.clone());
        for name in &self.facts {
            let fact = facts.get(name).unwrap_or(&serde_json::Value::Null);
            context.add_variable(name.as_str(), fact).map_err(|e| e.to_string())?;
        }
        match self.program.execute(&context) {
            Ok(Value::Bool(answer)) => Ok(answer),
            Ok(other) => Err(format!("the expression gives {:?}, not true or false", other.type_of())),
            Err(e) => Err(e.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn facts(json: serde_json::Value) -> Map<String, serde_json::Value> {
        json.as_object().unwrap().clone()
    }

    #[test]
    fn an_expression_answers_or_fails_but_never_guesses() {
        let f = facts(json!({"health": {"colour": "red", "test_age_h": 47.5, "known": true}}));
        let ask = |text: &str| Expression::new(text).unwrap().ask(&f);
        assert_eq!(ask(r#"health.colour == "red""#), Ok(true));
        assert_eq!(ask("health.test_age_h > 48"), Ok(false));
        assert_eq!(ask("health.known && health.test_age_h < 48.0"), Ok(true));
        assert!(ask("health.nothing == 1").is_err(), "a missing fact is an error");
        assert!(ask("temp.state == 'high'").is_err(), "a fact that was never made is an error");
        assert!(ask("health.colour").is_err(), "a text is not an answer");
    }

    #[test]
    fn names_are_checked_when_the_profile_is_read() {
        assert!(matches!(Expression::new("colour == 'red'"), Err(RuleError::Fact(_))));
        assert!(matches!(Expression::new("foo(pass)"), Err(RuleError::Function(_))));
        assert!(matches!(Expression::new("pass.x =="), Err(RuleError::Syntax(_))));
        for looping in ["pass.list.exists(x, x == 1)", "pass.list.all(visit, visit == 1)", "has(pass.x)"] {
            assert!(Expression::new(looping).is_err(), "no macros, so no loops: {looping}");
        }
        assert_eq!(Expression::new(&"1".repeat(401)).unwrap_err(), RuleError::Length);
    }
}
