//! Messages of a hospital in a play: they are read as the gateway reads them.

use super::file::moment;
use super::verb::Hl7Said;
use super::world::{Stopped, World};
use crate::hl7::word::{self, Told};
use crate::hl7::{self, Charset, Reading, Sample};

impl World<'_> {
    /// A message comes; one that is late changes nothing, and one that is refused ends the play with the reason.
    pub(super) fn message(&mut self, said: &Hl7Said) -> Result<(), Stopped> {
        let now_ms = self.wall_ms();
        let bytes = match said {
            Hl7Said::Text(text) => text.clone(),
            Hl7Said::Parts { event, patient, name, ward, room, at } => {
                let at_ms = moment(at.as_ref(), "-0s", now_ms).map_err(Stopped::Failed)?;
                let (name, ward, room) = (name.as_deref(), ward.as_deref(), room.as_deref());
                hl7::sample(Sample { event, patient, name, ward, room, at_ms, control: "1" })
            }
        };
        let with = Reading {
            charset: Charset::Utf8,
            utc_offset_ms: self.utc_offset_ms,
            id_type: "",
            now_ms: self.now.wall_ms.filter(|_| self.now.synced()),
        };
        let message = hl7::read(bytes.as_bytes(), &with)
            .map_err(|refusal| Stopped::Failed(format!("the message is refused: {refusal}")))?;
        let id = &message.patient;
        let [patients, roster] = word::LISTS.map(|list| self.store.standing(list, id));
        match word::changes(&message, now_ms, patients?.as_ref(), roster?.as_ref()) {
            Told::Words(words) => {
                for (list, word) in words {
                    self.store.tell(list, id, &word)?;
                    (self.trace)(&format!("    list {list} has an entry of the patient from the message"));
                }
            }
            Told::Late => (self.trace)("    the message is late: a newer one, or an edition, has spoken"),
            Told::NoList => return Err(Stopped::Failed("there is no list `patients`".into())),
        }
        Ok(())
    }
}
