//! The duty console: what officers ask of a gateway and tell it beside the lanes.
//!
//! It is no lane: it has no device, no visit and no verdict. Each act has a purpose, and belongs to some roles; both are
//! looked at before anything else is, and who did what for which purpose is on record before it is answered. Where an
//! answer comes from, and what a key stands for, is the owner's to find: the core has neither the journal nor the lists.

use crate::event::{Class, NewEvent};
use crate::ids::{LaneId, VisitId};
use crate::lane::action::{NOTE_MAX, Officer, Rejection, Role};
use crate::time::WallMs;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// Who was where.
    Trace,
    /// Approves or refuses, from here, what waits in a lane.
    Review,
    /// Takes a pass back, or holds a person or a plate, until the next edition of the list.
    Revoke,
    /// Hands the shift over.
    Handover,
    /// Takes rows away, as a file.
    Export,
}

impl Act {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Trace, Self::Review, Self::Revoke, Self::Handover, Self::Export];

    /// The word in requests and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Review => "review",
            Self::Revoke => "revoke",
            Self::Handover => "handover",
            Self::Export => "export",
        }
    }

    /// The one of a word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.as_str() == word)
    }

    /// Who may do it. Whoever looks after the box asks for nobody.
    pub const fn roles(self) -> &'static [Role] {
        match self {
            Self::Trace | Self::Export => &[Role::Cdc, Role::Supervisor],
            Self::Review | Self::Revoke => &[Role::Transport, Role::Supervisor],
            Self::Handover => {
                &[Role::Guard, Role::Nurse, Role::Transport, Role::Supervisor, Role::Collector, Role::Cdc]
            }
        }
    }
}

/// Whether an officer may do this for this purpose.
pub fn may(officer: &Officer, act: Act, purpose: &str) -> Result<(), Rejection> {
    if !act.roles().contains(&officer.role) {
        return Err(Rejection::new("role", "您的角色不能这样操作", "Your role may not do this"));
    }
    if purpose.trim().is_empty() {
        return Err(Rejection::new("purpose", "请说明用途", "Say for which purpose"));
    }
    if purpose.chars().count() > NOTE_MAX {
        let (zh, en) =
            (format!("用途最多{NOTE_MAX}字"), format!("A purpose has at most {NOTE_MAX} characters"));
        return Err(Rejection::new("purpose", &zh, &en));
    }
    Ok(())
}

/// What is looked for. A person stands here as a subject key alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Query {
    /// In this lane; in all of them without one.
    pub lane: Option<LaneId>,
    /// Of this subject; of everybody without one.
    pub subject: Option<String>,
    /// From this moment on, UTC milliseconds.
    pub from_ms: WallMs,
    /// Up to and including this one.
    pub to_ms: WallMs,
    /// Who was near the subject instead: so long before and after, milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub near_ms: Option<i64>,
}

/// One act, with what its owner has found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// A search was made.
    Trace {
        /// For what.
        query: Query,
        /// Rows that were found.
        rows: usize,
    },
    /// What waits for an approval gets an answer.
    Review {
        /// Where it waits.
        lane: LaneId,
        /// Which; without it, the one in front, else the newest that waits for one.
        visit: Option<VisitId>,
        /// Approved or refused.
        approve: bool,
        /// In the officer's words.
        note: String,
    },
    /// An entry stands above a list from now on.
    Revoke {
        /// `revocation` or `hold`.
        list: String,
        /// Which entry: `kid:id` of a pass, else the subject key of who is held.
        key: String,
        /// Why, for whoever reads it.
        note: String,
    },
    /// The shift is handed over.
    Handover {
        /// To whom, or to which shift; may be empty.
        to: String,
        /// What there is to know.
        note: String,
    },
    /// Rows were taken away.
    Export {
        /// Which.
        query: Query,
        /// How many.
        rows: usize,
    },
}

impl Asked {
    /// Which act it is.
    pub const fn act(&self) -> Act {
        match self {
            Self::Trace { .. } => Act::Trace,
            Self::Review { .. } => Act::Review,
            Self::Revoke { .. } => Act::Revoke,
            Self::Handover { .. } => Act::Handover,
            Self::Export { .. } => Act::Export,
        }
    }

    /// Its texts are no longer than a desk lets anybody write.
    pub fn check(&self) -> Result<(), Rejection> {
        let texts: [&str; 2] = match self {
            Self::Review { note, .. } | Self::Revoke { note, .. } => [note, ""],
            Self::Handover { to, note } => [to, note],
            Self::Trace { .. } | Self::Export { .. } => ["", ""],
        };
        if texts.iter().any(|text| text.chars().count() > NOTE_MAX) {
            let (zh, en) = (format!("说明最多{NOTE_MAX}字"), format!("At most {NOTE_MAX} characters"));
            return Err(Rejection::new("note", &zh, &en));
        }
        Ok(())
    }
}

fn event(kind: &str, class: Class, data: Value) -> NewEvent {
    NewEvent { kind: kind.into(), class, lane: None, visit: None, audience: Vec::new(), data }
}

/// What is on record of an act that was done.
pub fn events(officer: &Officer, purpose: &str, asked: &Asked) -> Vec<NewEvent> {
    let who = json!({ "by": officer.id, "role": officer.role });
    let with = |more: Value| {
        let mut data = who.clone();
        if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
            data.extend(more);
        }
        data
    };
    let mut audit = with(json!({ "act": asked.act(), "officer": officer.id, "purpose": purpose }));
    let mut all = Vec::new();
    match asked {
        Asked::Trace { query, rows } => {
            audit["rows"] = json!(rows);
            let Query { lane, subject, from_ms, to_ms, near_ms: _ } = query;
            // As an answer to the central side says it, too.
            let data = json!({ "purpose": purpose, "query": query, "rows": rows, "lane": lane, "subject": subject,
                "from_ms": from_ms, "to_ms": to_ms });
            all.push(event("trace_query", Class::Verdict, with(data)));
            all.push(event("audit", Class::Scan, audit));
        }
        Asked::Review { lane, approve, .. } => {
            (audit["lane"], audit["approve"]) = (json!(lane), json!(approve));
            all.push(event("audit", Class::Scan, audit));
        }
        Asked::Revoke { list, key, note } => {
            (audit["list"], audit["key"], audit["note"]) = (json!(list), json!(key), json!(note));
            all.push(event("audit", Class::Scan, audit));
        }
        Asked::Handover { to, note } => {
            all.push(event("audit", Class::Scan, audit));
            all.push(event("handover", Class::Scan, with(json!({ "to": to, "note": note }))));
        }
        Asked::Export { query, rows } => {
            (audit["query"], audit["rows"]) = (json!(query), json!(rows));
            all.push(event("audit", Class::Scan, audit));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::OfficerId;

    #[test]
    fn each_act_belongs_to_its_roles_and_has_a_purpose_and_whoever_looks_after_the_box_has_none() {
        for act in Act::ALL {
            assert_eq!(Act::parse(act.as_str()), Some(act));
            for role in Role::ALL {
                let officer = Officer { id: OfficerId::new("li").unwrap(), role };
                let code = |purpose: &str| may(&officer, act, purpose).err().map(|why| why.code);
                let allowed = act.roles().contains(&role);
                assert_eq!(code("contact"), (!allowed).then_some("role"), "{act:?} {role:?}");
                assert_eq!(code(" "), Some(if allowed { "purpose" } else { "role" }));
                assert!(role != Role::Admin || !allowed);
            }
        }
        let li = Officer { id: OfficerId::new("li").unwrap(), role: Role::Cdc };
        assert_eq!(may(&li, Act::Trace, &"长".repeat(NOTE_MAX + 1)).unwrap_err().code, "purpose");
    }
}
