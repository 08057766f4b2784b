//! Acts at a desk: what may be asked, who signs it, and that it is done once.

use super::acts::{self, ActSlot};
use super::api::{ACT_LIMIT, Answer, Hand, body, check_pin, lane_of, signed_in};
use super::error::ApiError;
use super::{App, Peer};
use crate::engine::Work;
use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{ConnectInfo, Path, State};
use axum::http::{HeaderMap, StatusCode};
use kakou_core::codes::Outcome;
use kakou_core::core::Input;
use kakou_core::ids::{OfficerId, VisitId};
use kakou_core::lane::action::{Action, Officer, Rejection, Role, SealRead};
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::sync::{oneshot, watch};
use utoipa::ToSchema;

/// The signature of an officer other than the one who is signed in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Second {
    #[schema(value_type = String)]
    officer: OfficerId,
    pin: String,
}

/// A seal as it was read.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadSeal {
    number: String,
    /// Where it sits; may be empty of one that is missing.
    #[serde(default)]
    door: String,
    /// `intact`, `broken`, `loose` or `missing`.
    condition: String,
}

/// One act at a desk.
#[expect(missing_docs, reason = "the fields say what they are; staff read them in the OpenAPI document")]
#[derive(Deserialize, ToSchema)]
#[serde(tag = "action", rename_all = "lowercase", deny_unknown_fields)]
pub enum Act {
    /// Types a code, an id or a plate.
    Enter {
        text: String,
        /// The reader beside which it counts, where the lane has several.
        on: Option<String>,
    },
    /// Begins a visit without any code.
    Start {
        /// The reader beside which it counts, where the lane has several.
        on: Option<String>,
    },
    /// Lets the visit whose measurement is not normal yet wait at the desk.
    Aside,
    /// Calls in the first of those who were told to wait for a place, on the public screen.
    Call,
    /// Says how many people there are, or adds so many to a visit that is over.
    Party { count: u32 },
    /// Takes an open record to the desk.
    Complete { visit: u64 },
    /// Measures again.
    Recheck,
    /// Answers a question.
    Answer { question: String, value: String },
    /// Fills in a form: the answers by field, all of them or none. A number, a text, or a list of texts of choices.
    Form {
        #[schema(value_type = Object)]
        answers: BTreeMap<String, Value>,
    },
    /// Says how each seal of a load was found, all of them at once.
    #[serde(rename = "seal_check")]
    SealCheck { seals: Vec<ReadSeal> },
    /// Counts a code that was typed.
    Tally { code: String },
    /// Says that everything was counted.
    #[serde(rename = "tally_done")]
    TallyDone,
    /// Approves or refuses. Whoever may do so signs with a PIN at the desk of somebody who may not.
    Approve {
        approve: bool,
        #[serde(default)]
        note: String,
        by: Option<Second>,
    },
    /// Records a seal.
    Seal { first: String, second: String, kind: String, door: String },
    /// Takes a photograph.
    Capture { role: String },
    /// Takes it again.
    Retake { role: String },
    /// Accepts it.
    Accept { role: String },
    /// Confirms checks. Where several sign, each signs with a PIN at the desk of whoever is signed in, or signs in.
    Confirm { checks: Vec<String>, by: Option<Second> },
    /// Ends the visit without a verdict.
    Cancel {
        #[serde(default)]
        reason: String,
        /// The one that is meant; without it, the one that runs.
        visit: Option<u64>,
    },
    /// Decides otherwise; the PIN is asked again.
    Override {
        visit: u64,
        #[schema(value_type = String)]
        outcome: Outcome,
        reason: String,
        #[serde(default)]
        note: String,
        pin: String,
        second: Option<Second>,
    },
    /// Prints a slip again, as it was: the one of a step, else the latest.
    Reprint {
        visit: u64,
        step: Option<String>,
        #[serde(default)]
        reason: String,
    },
    /// Corrects a register: `take`, `put` or `swap`, by name and with a reason. A key or a holder is as scanned, or `#`
    /// and its hash; the holder `*` is all of the key.
    Correct { register: String, key: String, holder: String, act: String, reason: String },
    /// Asks the barrier once more for a visit that it did not open for.
    Again { visit: u64 },
    /// Says that the barrier was opened by hand for such a visit.
    ByHand { visit: u64 },
    /// A command code (`KC1:`) that a scanner at the desk has read: it does what a button does.
    Code { code: String },
}

/// An act as it is asked.
#[derive(Deserialize, ToSchema)]
pub struct Asked {
    /// Asked again under the same id, within ten minutes, it is done once and answered the same. At most 64 visible
    /// ASCII characters; a new one for each press of a button.
    id: Option<String>,
    /// The visit that it is for; without it, the one in front if its step takes the act, else the newest open one
    /// whose step does.
    of: Option<u64>,
    #[serde(flatten)]
    act: Act,
}

/// The pages of a browser share its session: who acts must be who the page shows.
pub(super) fn as_shown(app: &App, headers: &HeaderMap, officer: &Officer) -> Answer<()> {
    let shown = headers.get("kakou-officer").and_then(|v| v.to_str().ok());
    if shown.is_none_or(|shown| shown == officer.id.as_str()) {
        return Ok(());
    }
    let name = app.officers.find(&officer.id).map_or_else(|| officer.id.to_string(), |o| o.name.clone());
    Err(ApiError::new(
        StatusCode::CONFLICT,
        "other_officer",
        &format!("此浏览器现由{name}登录：请核对后再操作"),
        &format!("{name} is signed in on this browser now: look, then act again"),
    ))
}

/// Carries out an act; the answer comes when it is durable.
#[utoipa::path(post, path = "/api/v1/lanes/{lane}/actions", params(("lane" = String, Path),
        ("Kakou-Officer" = Option<String>, Header, description = "Who is meant to act; if another one is signed in, nothing is done")),
    request_body = Asked,
    responses((status = 200, description = "Done and durable", body = ref("#/components/schemas/Done")), (status = 400), (status = 401), (status = 403), (status = 404), (status = 409), (status = 503)), security(("session" = [])))]
pub async fn act(
    State(app): State<App>,
    Path(lane): Path<String>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
    json: Result<Json<Asked>, JsonRejection>,
) -> Answer<Json<Value>> {
    let officer = signed_in(&app, &headers)?;
    let hand = Hand { peer: peer.ip(), signed_in: Some(&officer.id) };
    as_shown(&app, &headers, &officer)?;
    let lane = lane_of(&app, &lane)?;
    let mut signs = officer.clone();
    let Asked { id, of, act } = body(json)?;
    let of = of.map(VisitId);
    if id.as_deref().is_some_and(|id| !acts::is_id(id)) {
        return Err(ApiError::bad_body("`id` has 1 to 64 visible ASCII characters"));
    }
    let mut pins = Vec::new();
    let action = match act {
        Act::Enter { text, on } => Action::Enter { text, on },
        Act::Start { on } => Action::Start { on },
        Act::Aside => Action::Aside,
        Act::Call => Action::Call,
        Act::Party { count } => Action::Party(count),
        Act::Complete { visit } => Action::Complete(VisitId(visit)),
        Act::Recheck => Action::Recheck,
        Act::Answer { question, value } => Action::Answer { question, value },
        Act::Form { answers } => Action::Form(answers),
        Act::SealCheck { seals } => {
            let read = |s: ReadSeal| SealRead { number: s.number, door: s.door, condition: s.condition };
            Action::SealCheck(seals.into_iter().map(read).collect())
        }
        Act::Tally { code } => Action::Tally(code),
        Act::TallyDone => Action::TallyDone,
        Act::Approve { approve, note, by: None } => Action::Approve { approve, note, desk: None },
        Act::Approve { approve, note, by: Some(by) } => {
            signs = named(&app, &by.officer);
            pins.push(("approve", by.officer, by.pin));
            Action::Approve { approve, note, desk: Some(officer.id.clone()) }
        }
        Act::Seal { first, second, kind, door } => Action::Seal { first, second, kind, door },
        Act::Capture { role } => Action::Capture(role),
        Act::Retake { role } => Action::Retake(role),
        Act::Accept { role } => Action::Accept(role),
        Act::Confirm { checks, by } => {
            if let Some(by) = by {
                signs = named(&app, &by.officer);
                pins.push(("confirm", by.officer, by.pin));
            }
            Action::Confirm(checks)
        }
        Act::Cancel { reason, visit } => Action::Cancel { reason, visit: visit.map(VisitId) },
        Act::Reprint { visit, step, reason } => Action::Reprint { visit: VisitId(visit), step, reason },
        Act::Correct { register, key, holder, act, reason } => {
            Action::Correct { register, key, holder, act, reason }
        }
        Act::Again { visit } => Action::OpenAgain(VisitId(visit)),
        Act::ByHand { visit } => Action::OpenedByHand(VisitId(visit)),
        Act::Code { code } => Action::Code(code),
        Act::Override { visit, outcome, reason, note, pin, second } => {
            pins.push(("override", officer.id.clone(), pin));
            let second = second.map(|s| {
                let who = named(&app, &s.officer);
                pins.push(("second", s.officer, s.pin));
                who
            });
            Action::Override { visit: VisitId(visit), outcome, reason, note, second }
        }
    };
    let key = id.map(|id| (lane.clone(), signs.id.clone(), id));
    // What was signed and is asked again is not signed again: its answer must not wait for a guesser.
    let outcome = match key.as_ref().and_then(|key| app.acts.again(key, &action)) {
        Some(outcome) => known(outcome).await,
        None => {
            for (given_as, id, pin) in pins {
                check_pin(&app, &hand, given_as, (id, pin)).await?;
            }
            match key {
                None => carry_out(&app, Input::Desk { lane, officer: signs, visit: of, action }).await,
                Some(key) => once(&app, key, signs, of, action).await,
            }
        }
    };
    outcome?.map(|()| Json(json!({ "ok": true }))).map_err(ApiError::from)
}

/// Who is named beside a PIN that is still to be looked at; whoever is not known has no PIN that is right.
fn named(app: &App, id: &OfficerId) -> Officer {
    let role = app.officers.find(id).map_or(Role::Guard, |o| o.role);
    Officer { id: id.clone(), role }
}

/// Hands an act to the engine, and waits for what becomes of it.
async fn carry_out(app: &App, input: Input) -> Answer<Result<(), Rejection>> {
    let (tx, rx) = oneshot::channel();
    app.engine.try_send(Work::Input(input, Some(tx))).map_err(|_| ApiError::busy())?;
    let answered = tokio::time::timeout(ACT_LIMIT, rx).await;
    answered.map_err(|_| ApiError::busy())?.map_err(|_| ApiError::busy())
}

/// The same for an act with an id: it is done once, however often it is asked.
async fn once(
    app: &App,
    key: acts::Key,
    officer: Officer,
    visit: Option<VisitId>,
    action: Action,
) -> Answer<Result<(), Rejection>> {
    let outcome = match app.acts.ask(&key, &action) {
        ActSlot::Again(outcome) => outcome,
        ActSlot::Other => {
            return Err(ApiError::new(
                StatusCode::CONFLICT,
                "other_act",
                "此编号已用于另一操作，请重新操作",
                "Another act has this id: act again",
            ));
        }
        ActSlot::New(told) => {
            let outcome = told.subscribe();
            let (tx, rx) = oneshot::channel();
            let input = Input::Desk { lane: key.0.clone(), officer, visit, action };
            if app.engine.try_send(Work::Input(input, Some(tx))).is_err() {
                app.acts.forget(&key);
                return Err(ApiError::busy());
            }
            // It goes on where whoever asked has gone: they may come again.
            let app = app.clone();
            tokio::spawn(async move {
                match rx.await {
                    Ok(answer) => {
                        // What could not be stored was not done.
                        if matches!(&answer, Err(why) if why.code == "storage") {
                            app.acts.forget(&key);
                        }
                        told.send_replace(Some(answer));
                    }
                    Err(_) => app.acts.forget(&key),
                }
            });
            outcome
        }
    };
    known(outcome).await
}

/// Waits for what becomes of an act that was handed on.
async fn known(mut outcome: watch::Receiver<acts::Outcome>) -> Answer<Result<(), Rejection>> {
    let known = tokio::time::timeout(ACT_LIMIT, outcome.wait_for(Option::is_some)).await;
    let known = known.map_err(|_| ApiError::busy())?.map_err(|_| ApiError::busy())?;
    known.clone().ok_or_else(ApiError::busy)
}
