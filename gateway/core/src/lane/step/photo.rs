//! Photographs: taken, looked at, accepted or taken again. One that is too dark, too bright or
//! blurred cannot be accepted.

use super::super::visit::{PhotoSlot, PhotoState};
use super::{Cx, Flow, Stimulus};
use crate::lane::action::{Action, Rejection};
use crate::profile::Choice;
use crate::reading::{Command, Photo, Report};
use serde_json::json;
use std::ops::RangeInclusive;

const EMPTY: PhotoSlot =
    PhotoSlot { state: PhotoState::Missing, ticket: None, photo: None, reason: None, at_ms: None };

/// Opens the slots that are still empty. The first picture is taken at once. What an earlier step has
/// accepted is not taken again.
pub fn enter(cx: &mut Cx<'_>, roles: &[Choice]) -> Flow {
    let accepted =
        |r: &Choice| cx.visit.photos.get(&r.value).is_some_and(|s| s.state == PhotoState::Accepted);
    if roles.iter().all(accepted) {
        return Flow::Next;
    }
    cx.allow(cx.step.timeout_ms);
    for role in roles {
        let slot = cx.visit.photos.entry(role.value.clone()).or_insert(EMPTY);
        // A request from before a restart is lost.
        if slot.state == PhotoState::Taking {
            *slot = EMPTY;
        }
    }
    match roles.iter().find(|r| cx.visit.photos.get(&r.value).is_some_and(|s| s.state == PhotoState::Missing))
    {
        Some(first) => capture(cx, &first.value.clone()),
        None => Flow::Wait,
    }
}

fn capture(cx: &mut Cx<'_>, role: &str) -> Flow {
    let ticket = cx.request(Command::Capture { role: role.to_owned() });
    let slot = match ticket {
        Some(_) => PhotoSlot { state: PhotoState::Taking, ticket, ..EMPTY },
        None => PhotoSlot { state: PhotoState::Retake, reason: Some("camera".into()), ..EMPTY },
    };
    cx.visit.photos.insert(role.to_owned(), slot);
    Flow::Wait
}

fn judge(photo: &Photo, min_sharpness: u32, luma: &RangeInclusive<u8>) -> Option<&'static str> {
    if photo.luma < *luma.start() {
        Some("dark")
    } else if photo.luma > *luma.end() {
        Some("bright")
    } else if photo.sharpness < min_sharpness {
        Some("blurred")
    } else {
        None
    }
}

/// Takes pictures and what staff say of them.
pub fn on(
    cx: &mut Cx<'_>,
    what: &Stimulus<'_>,
    roles: &[Choice],
    min_sharpness: u32,
    luma: RangeInclusive<u8>,
) -> Flow {
    let here = |role: &str| roles.iter().any(|r| r.value == role);
    match what {
        Stimulus::Deadline => cx.time_out(),
        Stimulus::Report(Report::Photo { ticket, photo }) => {
            let at_ms = cx.now.wall_ms;
            if let Some(slot) = cx.visit.photos.values_mut().find(|s| s.ticket == Some(*ticket)) {
                let reason = judge(photo, min_sharpness, &luma).map(str::to_owned);
                let state = if reason.is_some() { PhotoState::Retake } else { PhotoState::Review };
                *slot = PhotoSlot { state, ticket: None, photo: Some(photo.clone()), reason, at_ms };
            }
            Flow::Wait
        }
        Stimulus::Report(Report::NoData { ticket, .. }) => {
            if let Some(slot) = cx.visit.photos.values_mut().find(|s| s.ticket == Some(*ticket)) {
                *slot = PhotoSlot { state: PhotoState::Retake, reason: Some("camera".into()), ..EMPTY };
            }
            Flow::Wait
        }
        Stimulus::Report(Report::Link { ready: false }) => {
            for slot in cx.visit.photos.values_mut().filter(|s| s.state == PhotoState::Taking) {
                *slot = PhotoSlot { state: PhotoState::Retake, reason: Some("camera".into()), ..EMPTY };
            }
            Flow::Wait
        }
        Stimulus::Report(_) => Flow::Wait,
        Stimulus::Action(_, Action::Capture(role) | Action::Retake(role)) if here(role) => {
            let taking = cx.visit.photos.get(role).is_some_and(|s| s.state == PhotoState::Taking);
            if taking { Flow::Reject(Rejection::not_now()) } else { capture(cx, role) }
        }
        Stimulus::Action(_, Action::Accept(role)) if here(role) => accept(cx, role, roles),
        Stimulus::Action(..) => Flow::Reject(Rejection::not_now()),
    }
}

fn accept(cx: &mut Cx<'_>, role: &str, roles: &[Choice]) -> Flow {
    let Some(slot) = cx.visit.photos.get_mut(role).filter(|s| s.state == PhotoState::Review) else {
        return Flow::Reject(Rejection::new(
            "photo_not_good",
            "照片不清晰或过暗，请重拍",
            "The picture is dark or blurred: take it again",
        ));
    };
    slot.state = PhotoState::Accepted;
    let accepted = cx.visit.photos.values().filter(|s| s.state == PhotoState::Accepted).count();
    cx.visit.facts.insert("photos".into(), json!({ "accepted": accepted }));
    let state = |r: &Choice| cx.visit.photos.get(&r.value).map(|s| s.state);
    if roles.iter().all(|r| state(r) == Some(PhotoState::Accepted)) {
        return Flow::Next;
    }
    match roles.iter().find(|r| state(r) == Some(PhotoState::Missing)) {
        Some(next) => capture(cx, &next.value.clone()),
        None => Flow::Wait,
    }
}
