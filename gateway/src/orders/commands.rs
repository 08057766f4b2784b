//! Carrying out commands.

use super::OrderSettings;
use crate::config::remote::could_start;
use crate::engine::Work;
use crate::subjects;
use kakou_core::core::Input;
use kakou_core::lane::action::Rejection;
use kakou_core::lane::remote::{Remote, Sender};
use kakou_core::pass::hex;
use kakou_core::reading::NoData;
use kakou_link::{durable, tls};
use kakou_provisioning::envelope::Sealed;
use kakou_provisioning::identity;
use kakou_wire::enrol::name_of;
use kakou_wire::order::{Command, What};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What came of a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It is done.
    Done(Value),
    /// It is not, and why.
    Not(String),
    /// The next run of the daemon will say.
    Later,
}

/// The answer of a core that is busy writing comes within this.
const PATIENCE: Duration = Duration::from_secs(10);
/// A barrier that does not confirm in this time counts as not opened.
const CONFIRM: Duration = Duration::from_secs(2);
/// The new key that waits for its certificate.
const NEXT_KEY: &str = "keys/next.key";

/// Does it.
pub async fn carry_out(desk: &OrderSettings, command: &Command, issuer: &str) -> Outcome {
    let sender = Sender {
        command: command.id.clone(),
        by: command.by.clone(),
        issuer: issuer.to_owned(),
        reason: command.reason.clone(),
    };
    let done = match &command.what {
        What::Open { lane } => {
            open(desk, Input::Remote { lane: lane.clone(), sender, what: Remote::Open }).await
        }
        What::Message { lane, text, minutes } => {
            let what = Remote::Message { text: text.clone(), for_ms: u64::from(*minutes) * 60_000 };
            message(desk, Input::Remote { lane: lane.clone(), sender, what }).await
        }
        What::Snapshot { lane } => snapshot(desk, lane.as_str(), command).await,
        What::Diagnostics => diagnostics(desk).await,
        What::CertificateRequest => certificate_request(desk),
        What::Certificate { pem } => certificate(desk, pem),
        What::SubjectKey { number, sealed } => subject_key(desk, *number, sealed).await,
        What::Reload => match (could_start(&desk.config), &desk.restart) {
            // The lanes stay open with what they have.
            (Err(e), _) => Err(format!("it would not start with this configuration: {e}")),
            (Ok(()), Some(restart)) if restart.try_send(()).is_ok() => return Outcome::Later,
            (Ok(()), _) => Err("this program cannot start itself anew".into()),
        },
        What::Reboot => return reboot().await,
    };
    done.map_or_else(Outcome::Not, Outcome::Done)
}

/// What is told when it is not known whether a command was done: who reads "not done" far away must not believe it
/// of a barrier that has opened.
pub fn unknown(what: &str, why: &str) -> String {
    if what == "open" { format!("{why}: look whether the barrier has opened") } else { why.to_owned() }
}

/// Asks the barrier, and waits for what it says: who reads "done" far away must not believe what did not happen.
async fn open(desk: &OrderSettings, input: Input) -> Result<Value, String> {
    let ((tx, answer), (moved, moves)) = (oneshot::channel(), oneshot::channel());
    desk.engine.send(Work::Remote(input, tx, moved)).await.map_err(|_| "the engine has ended".to_owned())?;
    recorded("open", answer, PATIENCE).await?;
    match tokio::time::timeout(CONFIRM, moves).await {
        Ok(Ok(Ok(()))) => Ok(Value::Null),
        Ok(Ok(Err(why))) => Err(match why {
            NoData::NotPresent => "the barrier did not open: its relay is not there".into(),
            NoData::Timeout => "the barrier did not confirm: look whether it has opened".into(),
            NoData::Fault => "the barrier did not open: its relay says that it is broken".into(),
            NoData::Garbled => "the barrier's answer was garbled: look whether it has opened".into(),
        }),
        Ok(Err(_)) | Err(_) => Err(format!(
            "the barrier has not confirmed within {} s: look whether it has opened",
            CONFIRM.as_secs()
        )),
    }
}

async fn message(desk: &OrderSettings, input: Input) -> Result<Value, String> {
    let (tx, answer) = oneshot::channel();
    desk.engine.send(Work::Input(input, Some(tx))).await.map_err(|_| "the engine has ended".to_owned())?;
    recorded("message", answer, PATIENCE).await
}

/// The lane has taken it, and it is on record.
async fn recorded(
    what: &str,
    answer: oneshot::Receiver<Result<(), Rejection>>,
    patience: Duration,
) -> Result<Value, String> {
    match tokio::time::timeout(patience, answer).await {
        Ok(Ok(Ok(()))) => Ok(Value::Null),
        Ok(Ok(Err(why))) => Err(format!("{}: {}", why.code, why.text.en)),
        // It may still lie before the lane, and be done when the disk is there again.
        Ok(Err(_)) | Err(_) => Err(unknown(what, "the lane did not answer in time")),
    }
}

async fn snapshot(desk: &OrderSettings, lane: &str, command: &Command) -> Result<Value, String> {
    let overview = &desk.overview;
    let of_lane = |id: &_| overview.lane_devices.iter().any(|(d, l)| d == id && l.as_str() == lane);
    let camera = overview.devices.iter().find(|d| d.camera && of_lane(&d.id));
    let camera = camera.ok_or_else(|| format!("lane `{lane}` has no camera"))?;
    let mut seen = camera.preview.subscribe();
    // The camera looks while somebody watches: the next frame is the present one.
    seen.mark_unchanged();
    if !matches!(tokio::time::timeout(PATIENCE, seen.changed()).await, Ok(Ok(()))) {
        return Err("the camera shows nothing".into());
    }
    let picture = seen.borrow_and_update().clone().ok_or("the camera shows nothing")?;
    let photos = desk.photos.clone();
    let bytes = picture.len();
    let saved = tokio::task::spawn_blocking(move || photos.save(&picture)).await;
    let sha256 = saved.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
    // An event that names it sends it on its way.
    let data = json!({ "command": command.id, "by": command.by, "lane": lane, "device": camera.id,
        "photos": [{ "role": "snapshot", "sha256": sha256, "bytes": bytes }] });
    if !desk.record("snapshot", data).await {
        return Err("it cannot be recorded".into());
    }
    Ok(json!({ "lane": lane, "sha256": sha256, "bytes": bytes }))
}

async fn diagnostics(desk: &OrderSettings) -> Result<Value, String> {
    let overview = desk.overview.clone();
    let look = move || json!({ "status": overview.status(), "health": overview.health() });
    tokio::task::spawn_blocking(look).await.map_err(|e| e.to_string())
}

fn certificate_request(desk: &OrderSettings) -> Result<Value, String> {
    let name = name_of(&desk.site, &desk.gateway);
    let request = identity::request(&name).map_err(|e| e.to_string())?;
    let path = desk.data.join(NEXT_KEY);
    durable::write_secret(&path, request.key_pem.as_bytes()).map_err(|e| e.to_string())?;
    Ok(json!({ "csr": request.csr_pem }))
}

/// Takes a certificate: it must fit the key that was made for it, and the roots of the fleet.
fn certificate(desk: &OrderSettings, pem: &str) -> Result<Value, String> {
    let (cert, key) = desk.identity.as_ref().ok_or("this gateway has no certificate of its own")?;
    let next_key = desk.data.join(NEXT_KEY);
    let next_cert = desk.data.join("keys/next.pem");
    durable::write_secret(&next_cert, pem.as_bytes()).map_err(|e| e.to_string())?;
    tls::fits(&next_cert, &next_key).map_err(|e| e.to_string())?;
    let upstream = desk.upstream.as_ref().ok_or("this gateway has no link")?;
    tls::of_fleet(upstream, &next_cert).map_err(|e| e.to_string())?;
    let until = tls::certificates(&next_cert)
        .ok()
        .and_then(|chain| kakou_provisioning::certificate::validity(chain.first()?).ok());
    // The old ones stay beside, for whoever has to go back.
    swap(key, &next_key).and_then(|()| swap(cert, &next_cert)).map_err(|e| e.to_string())?;
    desk.renewed.send_modify(|n| *n += 1);
    Ok(
        json!({ "ends": until.map(|(_, ends)| ends), "sha256": hex(&kakou_core::evidence::Hash::of(pem.as_bytes()).0) }),
    )
}

/// Takes the next key of the site. It is durable, and in use for whoever comes from now on, when this returns.
async fn subject_key(desk: &OrderSettings, number: u32, sealed: &Sealed) -> Result<Value, String> {
    let (data, name) = (desk.data.clone(), name_of(&desk.site, &desk.gateway));
    let (sealed, now_ms) = (sealed.clone(), desk.clock.now().wall_ms.unwrap_or(0));
    let taken = tokio::task::spawn_blocking(move || {
        subjects::take(&data, &name, (number, &sealed), now_ms).map_err(|e| e.to_string())
    });
    match taken.await.map_err(|e| e.to_string()).flatten() {
        Ok((keys, new)) => {
            desk.subjects.send_replace(Arc::new(subjects::for_lanes(&keys)));
            Ok(json!({ "number": number, "new": new }))
        }
        Err(why) => {
            desk.metrics.count("subject_key_refused_total");
            Err(why)
        }
    }
}

/// Ends a change of certificate that a power cut has left half-way: the new key without the new
/// certificate.
pub fn finish_change(data: &Path, (cert, key): (&Path, &Path)) {
    let next = data.join("keys/next.pem");
    if tls::fits(cert, key).is_ok() || tls::fits(&next, key).is_err() {
        return;
    }
    match swap(cert, &next) {
        Ok(()) => log::warn!("the change of the certificate, which was cut off, is complete"),
        Err(e) => log::error!("{}: {e}", cert.display()),
    }
}

fn swap(to: &Path, from: &Path) -> std::io::Result<()> {
    let old = durable::old(to);
    drop(std::fs::remove_file(&old));
    std::fs::hard_link(to, &old)?;
    match std::fs::rename(from, to) {
        // The file may lie on another disk than the data.
        Err(_) => std::fs::copy(from, to).map(drop).and_then(|()| std::fs::remove_file(from)),
        Ok(()) => Ok(()),
    }
}

async fn reboot() -> Outcome {
    if !Path::new("/run/systemd/system").exists() {
        return Outcome::Not("this box is not run by systemd".into());
    }
    // The unit has no right to do it: it leaves a file, and kakou-reboot.path does the rest.
    if let Some(folder) = std::env::var_os("RUNTIME_DIRECTORY") {
        return match std::fs::write(Path::new(&folder).join("reboot"), b"") {
            Ok(()) => Outcome::Later,
            Err(e) => Outcome::Not(e.to_string()),
        };
    }
    match tokio::process::Command::new("systemctl").arg("reboot").status().await {
        Ok(status) if status.success() => Outcome::Later,
        Ok(status) => Outcome::Not(format!("systemctl says {status}")),
        Err(e) => Outcome::Not(e.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_wire::order::State;

    #[tokio::test]
    async fn an_opening_that_comes_late_is_not_told_as_not_done() {
        // The engine is busy, or is told to end with the command before it.
        let (held, busy) = oneshot::channel();
        let gone = oneshot::channel().1;
        for answer in [busy, gone] {
            let said = recorded("open", answer, Duration::from_millis(5)).await.unwrap_err();
            assert!(said.contains("look whether the barrier has opened"), "{said}");
        }
        drop(held);
        let said = recorded("message", oneshot::channel().1, Duration::from_millis(5)).await.unwrap_err();
        assert!(!said.contains("barrier"), "{said}");
        // A run that has ended between the pulse and the answer.
        let cut = |what: &str| super::super::cut_off(what, false);
        assert!(cut("open").1.contains("look whether the barrier has opened"));
        assert_eq!(cut("snapshot"), (State::Failed, "the daemon ended before it was done".into()));
        assert_eq!(cut("reload").0, State::Succeeded);
        assert_eq!(
            (cut("reboot").0, super::super::cut_off("reboot", true).0),
            (State::Failed, State::Succeeded)
        );
    }
}
