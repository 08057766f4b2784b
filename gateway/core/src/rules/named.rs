//! What an expression names: its facts, texts and numbers, in the order in which they stand in it.
//!
//! Read from the tree of the expression, so that a name within a text is none, however it is written.

use cel::IdedExpr;
use cel::common::ast::{Expr, LiteralValue, operators as op};
use std::collections::BTreeSet;

/// What an expression names.
#[derive(Debug, Default, PartialEq)]
pub struct Named {
    /// Facts, each by its path: its group first.
    pub facts: BTreeSet<Vec<String>>,
    /// Texts.
    pub texts: Vec<String>,
    /// Numbers.
    pub numbers: Vec<f64>,
}

/// Reads an expression whose form was proved: nothing but a group has fields.
pub fn of(e: &IdedExpr) -> Named {
    let mut named = Named::default();
    named.read(e);
    named
}

impl Named {
    /// The groups of the facts.
    pub fn groups(&self) -> BTreeSet<&str> {
        self.facts.iter().filter_map(|path| path.first()).map(String::as_str).collect()
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers that a person has written")]
    fn read(&mut self, e: &IdedExpr) {
        match &e.expr {
            Expr::Select(_) => self.fact(e),
            Expr::Call(call) if call.func_name == op::INDEX => self.fact(e),
            Expr::Call(call) => {
                call.target.as_deref().into_iter().chain(&call.args).for_each(|e| self.read(e));
            }
            Expr::List(list) => list.elements.iter().for_each(|e| self.read(e)),
            Expr::Literal(literal) => match literal {
                LiteralValue::String(text) => self.texts.push(text.inner().to_owned()),
                LiteralValue::Int(n) => self.numbers.push(*n.inner() as f64),
                LiteralValue::UInt(n) => self.numbers.push(*n.inner() as f64),
                LiteralValue::Double(n) => self.numbers.push(*n.inner()),
                LiteralValue::Boolean(_) | LiteralValue::Bytes(_) | LiteralValue::Null => {}
            },
            Expr::Ident(_) | Expr::Comprehension(_) | Expr::Map(_) | Expr::Struct(_) | Expr::Unspecified => {}
        }
    }

    fn fact(&mut self, e: &IdedExpr) {
        if let Some(path) = path(e) {
            self.facts.insert(path.into_iter().map(str::to_owned).collect());
        }
    }
}

/// The path of a fact: a name, or a field of one, written with a dot or as an index by a literal.
pub fn path(e: &IdedExpr) -> Option<Vec<&str>> {
    if let Expr::Ident(group) = &e.expr {
        return Some(vec![group.as_str()]);
    }
    let (inner, name) = if let Expr::Select(select) = &e.expr {
        (!select.test).then_some((&*select.operand, select.field.as_str()))?
    } else {
        let Expr::Call(call) = &e.expr else { return None };
        let [inner, IdedExpr { expr: Expr::Literal(LiteralValue::String(name)), .. }] = call.args.as_slice()
        else {
            return None;
        };
        (call.func_name == op::INDEX).then_some((inner, name.inner()))?
    };
    let mut path = path(inner)?;
    path.push(name);
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cel::Program;

    fn named(source: &str) -> Named {
        of(Program::compile(source).unwrap().expression())
    }

    #[test]
    fn facts_texts_and_numbers_are_named_once_each_in_their_order() {
        let named = named(
            "answers[\"crew\"] + 2 > pass .crew && (health.colour in ['red', \"yellow\"] || pass.plate.contains('pass.x'))
             && health.test_age_h < 48.5 && lane.id == string(3u)",
        );
        let facts =
            ["answers.crew", "health.colour", "health.test_age_h", "lane.id", "pass.crew", "pass.plate"];
        assert_eq!(named.facts.iter().map(|path| path.join(".")).collect::<Vec<_>>(), facts);
        assert_eq!(named.groups().into_iter().collect::<Vec<_>>(), ["answers", "health", "lane", "pass"]);
        assert_eq!(named.texts, ["red", "yellow", "pass.x"]);
        assert_eq!(named.numbers, [2.0, 48.5, 3.0]);
    }
}
