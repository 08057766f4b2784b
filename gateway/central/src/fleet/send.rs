//! Messages to gateways: signed here, with the key of who sends them.

use crate::enrol::subjects::Readers;
use kakou_authority::issuer::Issuer;
pub use kakou_gateway::pack::bundle::unverified;
use kakou_link::mqtt::{self, Client, Events, Mark, MqttEvent, SendError};
use kakou_provisioning::envelope::seal;
use kakou_wire::feed::{CHUNK, GROUP, HEAD, Head, chunk_topic, head_topic, is_hash};
use kakou_wire::order::{COMMAND, CONFIGURATION, Command, Configuration, PERSON, Question, TRACE};
use kakou_wire::topic::topic;
use serde::Serialize;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::Duration;

/// A message for the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// Where.
    pub topic: String,
    /// What.
    pub body: Vec<u8>,
    /// Kept by the broker.
    pub retain: bool,
}

/// Without an acknowledgement for this long the broker has taken nothing.
const PATIENCE: Duration = Duration::from_secs(20);

fn sealed(issuer: &Issuer, payload: &impl Serialize, typ: &str) -> Result<Vec<u8>, String> {
    let payload = serde_json::to_vec(payload).map_err(|e| e.to_string())?;
    issuer.sign_message(&payload, typ).map_err(|e| e.to_string())
}

/// A command. The broker keeps it until the gateway has finished it.
pub fn command(issuer: &Issuer, command: &Command) -> Result<OutgoingMessage, String> {
    let topic = topic(&command.site, &command.gateway, &format!("cmd/{}", command.id));
    Ok(OutgoingMessage { topic, body: sealed(issuer, command, COMMAND)?, retain: true })
}

/// A configuration.
pub fn configuration(issuer: &Issuer, configuration: &Configuration) -> Result<OutgoingMessage, String> {
    let topic = topic(&configuration.site, &configuration.gateway, "cfg/desired");
    Ok(OutgoingMessage { topic, body: sealed(issuer, configuration, CONFIGURATION)?, retain: true })
}

/// Puts a person's id into a question, for each gateway of its site whose key the authority vouches for.
pub fn ask_for(question: &mut Question, person: &str, readers: &Readers) -> Result<(), String> {
    for (gateway, reader) in readers.of_site(&question.site).map_err(|e| e.to_string())? {
        let context = question.context(&gateway);
        let sealed =
            seal(&reader, PERSON, context.as_bytes(), person.as_bytes()).map_err(|e| e.to_string())?;
        question.person.insert(gateway, sealed);
    }
    Ok(())
}

/// A question to the gateways of a site.
pub fn question(issuer: &Issuer, question: &Question) -> Result<OutgoingMessage, String> {
    let topic = format!("kakou/v1/{}/trace/req", question.site);
    Ok(OutgoingMessage { topic, body: sealed(issuer, question, TRACE)?, retain: false })
}

/// The head of a feed.
pub fn head(issuer: &Issuer, head: &Head) -> Result<Vec<u8>, String> {
    sealed(issuer, head, HEAD)
}

/// A feed that lies in a folder: its body first, then its head, all kept by the broker. `progress`
/// hears of chunks, and of all of them.
pub fn feed(
    folder: &Path,
    name: &str,
    mut give: impl FnMut(OutgoingMessage) -> Result<(), String>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Head, String> {
    let path = folder.join(format!("{name}.feed"));
    let message = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let head = unverified(&message).ok_or_else(|| format!("{}: not the head of a feed", path.display()))?;
    let all: u64 = head.parts.iter().map(|p| u64::from(Head::chunks(p))).sum();
    let mut done = 0;
    for part in head.parts.iter().filter(|p| is_hash(&p.sha256)) {
        let path = folder.join("parts").join(&part.sha256);
        let mut body = File::open(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        for n in 0..Head::chunks(part) {
            let mut chunk = Vec::with_capacity(CHUNK);
            (&mut body).take(CHUNK as u64).read_to_end(&mut chunk).map_err(|e| e.to_string())?;
            let topic = chunk_topic(&head.feed, &part.sha256, n / GROUP, &n.to_string());
            give(OutgoingMessage { topic, body: chunk, retain: true })?;
            done += 1;
            progress(done, all);
        }
    }
    give(OutgoingMessage { topic: head_topic(&head.feed), body: message, retain: true })?;
    Ok(head)
}

/// Publishes one after the other, and waits until the broker has acknowledged all.
pub struct Post {
    client: Client,
    events: Events,
    sent: u64,
    acked: u64,
}

impl Post {
    /// Connects.
    pub async fn open(options: mqtt::Options<'_>) -> Result<Self, String> {
        let (client, mut events) = mqtt::open(options).map_err(|e| e.to_string())?;
        let up = async {
            loop {
                match events.poll().await {
                    Ok(MqttEvent::Connected { .. }) => return Ok(()),
                    Ok(_) => {}
                    Err(e) => return Err(e.to_string()),
                }
            }
        };
        tokio::time::timeout(PATIENCE, up).await.map_err(|_| "the broker does not answer".to_owned())??;
        Ok(Self { client, events, sent: 0, acked: 0 })
    }

    /// Hands a message over; waits while the client is full.
    pub async fn give(&mut self, message: OutgoingMessage) -> Result<(), String> {
        loop {
            let mark = Mark { retain: message.retain, ..Mark::default() };
            match self.client.publish(&message.topic, message.body.clone(), mark) {
                Ok(()) => {
                    self.sent += 1;
                    return Ok(());
                }
                Err(SendError::Full) => self.hear().await.map(drop)?,
                Err(e) => return Err(e.to_string()),
            }
        }
    }

    async fn hear(&mut self) -> Result<MqttEvent, String> {
        let heard = tokio::time::timeout(PATIENCE, self.events.poll()).await;
        let heard = heard.map_err(|_| "the broker does not answer".to_owned())?.map_err(|e| e.to_string())?;
        if let MqttEvent::Acked(_, answer) = &heard {
            answer.clone().map_err(|why| format!("the broker refuses: {why}"))?;
            self.acked += 1;
        }
        Ok(heard)
    }

    /// Waits until everything was acknowledged.
    pub async fn finish(mut self) -> Result<(), String> {
        while self.acked < self.sent {
            self.hear().await?;
        }
        self.client.farewell(&mut self.events).await;
        Ok(())
    }
}
