//! Photographs: taken, looked at, accepted or taken again. One that is too dark, too bright or
//! blurred cannot be accepted.

use super::super::visit::{PhotoSlot, PhotoState, Visit};
use super::kind::{About, Kind, Look};
use super::{Cx, Flow, StepInput};
use crate::codes::Code;
use crate::lane::action::{Action, Rejection};
use crate::lane::view::ask::{Ask, Pictured};
use crate::profile::facts::{Fact, Type};
use crate::profile::source::StepContext;
use crate::profile::{Choice, DeviceKind, ProfileError};
use crate::reading::{Command, Photo as Picture, Report};
use crate::records::RecordsFault;
use crate::text::Text;
use serde::Deserialize;
use serde_json::json;

const EMPTY: PhotoSlot =
    PhotoSlot { state: PhotoState::Missing, ticket: None, photo: None, reason: None, at_ms: None };

/// Takes photographs.
#[derive(Debug)]
pub struct Photo {
    /// What of.
    pub roles: Vec<Choice>,
    /// Below this a picture is blurred.
    pub min_sharpness: u32,
    /// Below this a picture is dark.
    pub min_luma: u8,
    /// Above this a picture is overexposed.
    pub max_luma: u8,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    #[serde(default)]
    photos: Vec<Choice>,
    #[serde(default = "min_sharpness")]
    min_sharpness: u32,
    #[serde(default = "min_luma")]
    min_luma: u8,
    #[serde(default = "max_luma")]
    max_luma: u8,
}

const fn min_sharpness() -> u32 {
    60
}
const fn min_luma() -> u8 {
    35
}
const fn max_luma() -> u8 {
    225
}

impl Kind for Photo {
    const ABOUT: About = About {
        device: Some(DeviceKind::Camera),
        by_staff: true,
        timeout_s: Some(900),
        facts: &[Fact::new("photos.accepted", Type::Number)],
        ..About::new(
            "photo",
            ("拍照", "Photos"),
            ("请稍候，正在拍照", "Please wait, photographs are being taken"),
        )
    };
    type Form = Form;
    type Waits = ();

    fn read(form: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        let Form { photos: roles, min_sharpness, min_luma, max_luma } = form;
        place.choices("photos", &roles, 1, 9)?;
        if min_luma > max_luma {
            let what = format!(
                "no picture is at least {min_luma} (`min_luma`) and at most {max_luma} (`max_luma`) bright"
            );
            return Err(place.error(what));
        }
        Ok(Self { roles, min_sharpness, min_luma, max_luma })
    }

    /// Opens the slots that are still empty. The first picture is taken at once. What an earlier step has
    /// accepted is not taken again.
    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        let accepted =
            |r: &Choice| cx.visit.photos.get(&r.value).is_some_and(|s| s.state == PhotoState::Accepted);
        if self.roles.iter().all(accepted) {
            return Ok(Flow::Next);
        }
        cx.allow(cx.step.timeout_ms);
        for role in &self.roles {
            let slot = cx.visit.photos.entry(role.value.clone()).or_insert(EMPTY);
            // A request from before a restart is lost.
            if slot.state == PhotoState::Taking {
                *slot = EMPTY;
            }
        }
        Ok(
            match self
                .roles
                .iter()
                .find(|r| cx.visit.photos.get(&r.value).is_some_and(|s| s.state == PhotoState::Missing))
            {
                Some(first) => capture(cx, &first.value.clone()),
                None => Flow::Wait,
            },
        )
    }

    /// Takes pictures and what staff say of them.
    fn on(&self, cx: &mut Cx<'_>, what: &StepInput<'_>) -> Result<Flow, RecordsFault> {
        let here = |role: &str| self.roles.iter().any(|r| r.value == role);
        Ok(match what {
            // An override passes over it: what is missing then is found by the rules of the next verdict.
            StepInput::Deadline => cx.stop(Code::X_TIMEOUT, cx.visit.step + 1),
            StepInput::Report(Report::Photo { ticket, photo }) => {
                let at_ms = cx.now.wall_ms;
                if let Some(slot) = cx.visit.photos.values_mut().find(|s| s.ticket == Some(*ticket)) {
                    let reason = self.judge(photo).map(str::to_owned);
                    let state = if reason.is_some() { PhotoState::Retake } else { PhotoState::Review };
                    *slot = PhotoSlot { state, ticket: None, photo: Some(photo.clone()), reason, at_ms };
                    cx.out.keep_soon();
                }
                Flow::Wait
            }
            StepInput::Report(Report::NoData { ticket, .. }) => {
                if let Some(slot) = cx.visit.photos.values_mut().find(|s| s.ticket == Some(*ticket)) {
                    *slot = PhotoSlot { state: PhotoState::Retake, reason: Some("camera".into()), ..EMPTY };
                }
                Flow::Wait
            }
            StepInput::Report(Report::Link { ready: false }) => {
                for slot in cx.visit.photos.values_mut().filter(|s| s.state == PhotoState::Taking) {
                    *slot = PhotoSlot { state: PhotoState::Retake, reason: Some("camera".into()), ..EMPTY };
                }
                Flow::Wait
            }
            StepInput::Report(_) => Flow::Wait,
            StepInput::Action(_, Action::Capture(role) | Action::Retake(role)) if here(role) => {
                let taking = cx.visit.photos.get(role).is_some_and(|s| s.state == PhotoState::Taking);
                if taking { Flow::Reject(Rejection::not_now()) } else { capture(cx, role) }
            }
            StepInput::Action(_, Action::Accept(role)) if here(role) => accept(cx, role, &self.roles),
            StepInput::Action(..) => Flow::Reject(Rejection::not_now()),
        })
    }

    fn ask(&self, look: Look<'_>) -> Ask {
        let open =
            |r: &&Choice| look.visit.photos.get(&r.value).is_none_or(|s| s.state != PhotoState::Accepted);
        let role = self.roles.iter().find(open).or(self.roles.first());
        Ask::Photo { role: role.map(|r| r.value.clone()), prompt: role.map(Choice::text) }
    }

    fn public(&self, _look: Look<'_>) -> Text {
        Self::ABOUT.prompt()
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

impl Photo {
    /// What is wrong with a picture.
    fn judge(&self, photo: &Picture) -> Option<&'static str> {
        if photo.luma < self.min_luma {
            Some("dark")
        } else if photo.luma > self.max_luma {
            Some("bright")
        } else if photo.sharpness < self.min_sharpness {
            Some("blurred")
        } else {
            None
        }
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
    cx.make("photos", json!({ "accepted": accepted }));
    let state = |r: &Choice| cx.visit.photos.get(&r.value).map(|s| s.state);
    if roles.iter().all(|r| state(r) == Some(PhotoState::Accepted)) {
        return Flow::Next;
    }
    match roles.iter().find(|r| state(r) == Some(PhotoState::Missing)) {
        Some(next) => capture(cx, &next.value.clone()),
        None => Flow::Wait,
    }
}

/// The photograph that a plate is read from.
pub fn of_the_plate(visit: &Visit) -> Option<Pictured> {
    let accepted = || visit.photos.iter().filter(|(_, s)| s.state == PhotoState::Accepted);
    let (role, slot) = accepted().find(|(role, _)| *role == "plate").or_else(|| accepted().next())?;
    Some(Pictured { role: role.clone(), sha256: slot.photo.as_ref().map(|p| p.sha256.clone()) })
}
