//! Lets the visit leave the front: the steps behind it are done at the desk when there is time.

use super::kind::{About, Kind};
use super::{Cx, Flow};
use crate::lane::record::Record;
use crate::profile::ProfileError;
use crate::profile::source::StepContext;
use crate::records::RecordsFault;
use serde::Deserialize;

/// A record is never due later than this, in milliseconds.
const MOST_MS: i64 = 7 * 86_400_000;

/// What follows is done when there is time.
#[derive(Debug)]
pub struct Later {
    /// When it is told that it has not been.
    pub after_ms: u64,
}

/// The fields of the step.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Form {
    after: String,
}

impl Kind for Later {
    const ABOUT: About = About {
        after_verdict: true,
        ..About::new("later", ("补录", "Record later"), ("请通行", "Please go ahead"))
    };
    type Form = Form;
    type Waits = ();

    fn read(Form { after }: Form, place: &StepContext<'_>) -> Result<Self, ProfileError> {
        let ms = crate::scenario::duration(&after).map_err(|e| place.error(format!("`after`: {e}")))?;
        match u64::try_from(ms) {
            Ok(after_ms) if after_ms > 0 && ms <= MOST_MS => Ok(Self { after_ms }),
            _ => Err(place.error(format!("`after` is {after}; allowed: more than nothing, up to 7d"))),
        }
    }

    /// The record is open from now on.
    fn enter(&self, cx: &mut Cx<'_>) -> Result<Flow, RecordsFault> {
        let due_ms = cx.now.wall_ms.map(|at_ms| at_ms.saturating_add_unsigned(self.after_ms));
        cx.visit.record = Some(Record { due: cx.now.mono_ms + self.after_ms, due_ms, told: false });
        cx.visit.finished.push(cx.visit.step);
        cx.out.keep_soon();
        Ok(Flow::Next)
    }
}
