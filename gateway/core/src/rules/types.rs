//! The types of an expression: every name, comparison and call is proved when a profile is read, so that
//! nothing of it fails in front of a person.

use super::{FUNCTIONS, RuleError, named};
use crate::profile::facts::{FactScope, Type, Unknown, groups};
use cel::IdedExpr;
use cel::common::ast::{CallExpr, Expr, ListExpr, LiteralValue, operators as op};

fn wrong<T>(what: impl Into<String>) -> Result<T, RuleError> {
    Err(RuleError::Type(what.into()))
}

const fn numeric(of: Type) -> bool {
    matches!(of, Type::Number | Type::Decimal)
}

/// Numbers compare with numbers, everything else with its own kind.
fn comparable(a: Type, b: Type) -> bool {
    a == b || numeric(a) && numeric(b)
}

/// The type of an expression, or what is wrong with it.
pub fn of(e: &IdedExpr, known: &FactScope) -> Result<Type, RuleError> {
    match &e.expr {
        Expr::Literal(literal) => match literal {
            LiteralValue::Boolean(_) => Ok(Type::Bool),
            LiteralValue::Int(_) | LiteralValue::UInt(_) => Ok(Type::Number),
            LiteralValue::Double(_) => Ok(Type::Decimal),
            LiteralValue::String(_) => Ok(Type::Text),
            LiteralValue::Bytes(_) | LiteralValue::Null => wrong("no fact is null or bytes"),
        },
        Expr::Ident(name) if groups().contains(&name.as_str()) => {
            wrong(format!("`{name}` alone is no value; there are: {}", known.names(name)))
        }
        Expr::Ident(name) => Err(RuleError::Fact(name.clone())),
        Expr::Select(select) if select.test => Err(RuleError::Function("has".into())),
        Expr::Select(select) => fact(&select.operand, &select.field, known),
        Expr::Call(call) if call.func_name == op::INDEX => match call.args.as_slice() {
            [of, IdedExpr { expr: Expr::Literal(LiteralValue::String(field)), .. }] => {
                fact(of, field.inner(), known)
            }
            _ => wrong("what stands in [ ] must be the name of a fact, as in answers[\"crew\"]"),
        },
        Expr::Call(call) => called(call, known),
        Expr::List(list) => listed(list, known),
        Expr::Comprehension(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {
            wrong("only facts, texts, numbers, lists and operators are available")
        }
    }
}

/// A fact by its path: a `Select`, or an index by a literal, of a group or of a part of it. Nothing else has fields.
fn fact(inner: &IdedExpr, name: &str, known: &FactScope) -> Result<Type, RuleError> {
    let Some(mut path) = named::path(inner) else {
        // What is wrong with the inner part is said first.
        of(inner, known)?;
        return wrong(format!("`.{name}` is asked of a value, but only groups of facts have fields"));
    };
    path.push(name);
    known.find(&path).map_err(|why| match why {
        Unknown::Group => RuleError::Fact(path[0].to_owned()),
        Unknown::Name(allowed) => RuleError::Field { name: path.join("."), allowed },
        Unknown::Value(of) => RuleError::Type(format!(
            "`.{name}` is asked of `{of}`, which is a value: only groups of facts have fields"
        )),
        Unknown::NotMade(by) => RuleError::NotMade { name: path.join("."), by },
        Unknown::NotLookedUp(list) => RuleError::NotLookedUp { name: path.join("."), list },
    })
}

fn listed(list: &ListExpr, known: &FactScope) -> Result<Type, RuleError> {
    for element in &list.elements {
        if of(element, known)? != Type::Text {
            return wrong("a list holds texts, as in [\"green\", \"yellow\"]");
        }
    }
    Ok(Type::Texts)
}

fn called(call: &CallExpr, known: &FactScope) -> Result<Type, RuleError> {
    let types: Vec<Type> = call
        .target
        .as_deref()
        .into_iter()
        .chain(&call.args)
        .map(|e| of(e, known))
        .collect::<Result<_, _>>()?;
    let name = call.func_name.as_str();
    let words = || types.iter().map(|t| t.as_str()).collect::<Vec<_>>().join(" and ");
    match (name, types.as_slice()) {
        (op::EQUALS | op::NOT_EQUALS, [a, b]) if comparable(*a, *b) => Ok(Type::Bool),
        (op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS, [a, b])
            if comparable(*a, *b) && (numeric(*a) || *a == Type::Text) =>
        {
            Ok(Type::Bool)
        }
        (
            op::EQUALS | op::NOT_EQUALS | op::LESS | op::LESS_EQUALS | op::GREATER | op::GREATER_EQUALS,
            [_, _],
        ) => wrong(format!("{} are compared", words())),
        (op::LOGICAL_AND | op::LOGICAL_OR, [Type::Bool, Type::Bool]) | (op::LOGICAL_NOT, [Type::Bool]) => {
            Ok(Type::Bool)
        }
        (op::CONDITIONAL, [Type::Bool, a, b]) if a == b => Ok(*a),
        (op::IN, [Type::Text, Type::Texts]) => Ok(Type::Bool),
        (op::ADD | op::SUBSTRACT | op::MULTIPLY, [a, b]) if a == b && numeric(*a) => Ok(*a),
        (op::ADD, [Type::Text, Type::Text]) => Ok(Type::Text),
        (op::NEGATE, [a]) if numeric(*a) => Ok(*a),
        ("size", [Type::Text | Type::Texts]) => Ok(Type::Number),
        ("contains" | "startsWith" | "endsWith", [Type::Text, Type::Text]) => Ok(Type::Bool),
        // Of a text it fails when somebody writes a word: a question with `input = "number"` asks for a number.
        ("int", [Type::Number]) => Ok(Type::Number),
        ("string", [Type::Text | Type::Number | Type::Bool]) => Ok(Type::Text),
        _ if FUNCTIONS.contains(&name) => wrong(format!("`{name}()` does not take {}", words())),
        _ if name.starts_with(|c: char| c.is_ascii_alphabetic()) => Err(RuleError::Function(name.to_owned())),
        _ => wrong(format!("`{}` does not take {}", name.trim_matches('_'), words())),
    }
}
