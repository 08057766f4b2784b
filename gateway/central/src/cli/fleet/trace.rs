//! `kakou fleet trace`

use super::{Broker, issuer, random_id, watched};
use crate::enrol::subjects::Readers;
use crate::fleet::archive::{self, Of};
use crate::fleet::send;
use crate::fleet::watch::now_ms;
use kakou_core::evidence::SubjectKey;
use kakou_core::ids::{LaneId, SiteId};
use kakou_core::pass::id;
use kakou_core::time::parse_instant;
use kakou_gateway::{eprint, println};
use kakou_link::shown;
use kakou_wire::order::Question;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Who asks, whom, and for whom.
#[derive(clap::Args)]
#[command(
    after_help = "For a person, each gateway gets the id in an envelope that it alone can open, and looks under every key that it\nhas had. --readers is a copy of the folder `readers` of the authority: the public keys of the boxes, and nothing\nsecret. Copy it from the authority, from nowhere else: an id that is sealed for another key is told to whoever\nhas that key.\nA subject key (--subject) is of one number of the site's key: after a rotation the same person has another one."
)]
pub struct Arguments {
    #[command(flatten)]
    broker: Broker,
    /// The key of who asks.
    #[arg(long = "sign-key", value_name = "FILE")]
    sign_key: PathBuf,
    /// The site.
    #[arg(long)]
    site: SiteId,
    /// Your name: it stands in the gateways' records.
    #[arg(long)]
    by: String,
    /// What for: it stands in the gateways' records.
    #[arg(long)]
    purpose: String,
    /// The visits of a subject key, as events carry it.
    #[arg(long, value_name = "KEY")]
    subject: Option<String>,
    /// The visits of a person, by id; needs --readers.
    #[arg(long, value_name = "ID")]
    person: Option<String>,
    /// The public keys of the boxes: the folder `readers` of the authority.
    #[arg(long, value_name = "FOLDER", requires = "person")]
    readers: Option<PathBuf>,
    /// In place of --readers, for boxes of an earlier version alone: the `keys/site.key` of such a box.
    #[arg(long, value_name = "FILE", requires = "person", conflicts_with = "readers")]
    site_key: Option<PathBuf>,
    /// The visits of a lane.
    #[arg(long)]
    lane: Option<LaneId>,
    /// From when, e.g. 2022-05-24T00:00:00Z.
    #[arg(long, value_name = "TIME")]
    from: String,
    /// Until when; now by default.
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// The database of `kakou central ingest`: it has what boxes have no more, and what boxes had sent that are not there
    /// any more. It is read alone. Without it the answer is complete only where the journals of the boxes reach back to
    /// --from.
    #[arg(long, value_name = "URL", env = "KAKOU_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// Waits so long for the last gateway.
    #[arg(long, default_value_t = 3000, value_name = "MILLISECONDS")]
    wait: u64,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// The question, with a person's id for the gateways alone.
fn question(a: &Arguments) -> Result<Question, String> {
    if [a.subject.is_some(), a.person.is_some(), a.lane.is_some()].iter().filter(|given| **given).count() != 1
    {
        return Err("say who (--subject or --person) or where (--lane): one of them".into());
    }
    let time = |text: &str| parse_instant(text).ok_or(format!("`{text}`: write 2022-05-24T00:00:00Z"));
    let mut question = Question {
        id: random_id()?,
        site: a.site.clone(),
        by: a.by.clone(),
        purpose: a.purpose.clone(),
        subject: a.subject.clone(),
        person: BTreeMap::new(),
        lane: a.lane.clone(),
        from_ms: time(&a.from)?,
        to_ms: a.to.as_deref().map_or(Ok(now_ms()), time)?,
        expires: now_ms() / 1000 + 60,
    };
    match (&a.person, &a.readers, &a.site_key) {
        (Some(person), Some(folder), _) => {
            send::ask_for(&mut question, person, &Readers::at(folder))?;
            if question.person.is_empty() {
                return Err(format!(
                    "{} has no key of a gateway of {}: copy the folder `readers` of the authority anew",
                    folder.display(),
                    a.site
                ));
            }
        }
        (Some(person), None, Some(file)) => {
            let secret = std::fs::read(file).map_err(|e| format!("{}: {e}", file.display()))?;
            question.subject = Some(SubjectKey::new(&secret).of(&id::normal(person)));
        }
        (Some(_), None, None) => {
            return Err("--person needs --readers: the folder `readers` of the authority".into());
        }
        (None, ..) => {}
    }
    Ok(question)
}

/// Asks all gateways of a site and merges what they answer.
pub(super) async fn trace(a: Arguments) -> Result<(), String> {
    let (broker, question, as_json) = (&a.broker, question(&a)?, a.json);
    let (issuer, wait) = (issuer(&a.sign_key)?, Duration::from_millis(a.wait));
    let (fleet, out, cancel) = watched(broker, question.site.as_str(), "trace")?;
    // Who is there to answer, the broker knows.
    let known = async {
        let (mut before, mut same) = (0, 0);
        while same < 3 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let now = fleet.lock().rows(now_ms())["gateways"].as_array().map_or(0, Vec::len);
            same = if now == before && now > 0 { same + 1 } else { 0 };
            before = now;
        }
    };
    if tokio::time::timeout(Duration::from_secs(10), known).await.is_err() {
        return Err(format!("the broker knows no gateway of site {}", question.site));
    }
    let (began, window) = (now_ms(), (question.from_ms, question.to_ms));
    let sites: BTreeSet<String> = [question.site.to_string()].into();
    fleet.lock().ask(&question.id, sites.clone(), window, a.database.is_some(), began);
    out.send(send::question(&issuer, &question)?).await.map_err(|_| "the broker was lost")?;
    let until = Instant::now() + wait;
    let keys = loop {
        tokio::time::sleep(Duration::from_millis(10)).await;
        let keys = fleet.lock().keys(&question.id);
        if keys.is_some() || Instant::now() > until {
            break keys;
        }
    };
    if let Some(url) = &a.database {
        // Whoever is late has told no key.
        let keys = keys.unwrap_or_else(|| fleet.lock().keys_so_far(&question.id));
        let of = match (&question.subject, &question.lane) {
            (Some(key), _) => Of::Subject(key.clone()),
            (None, Some(lane)) => Of::Lane(lane.clone()),
            (None, None) => Of::Person(keys),
        };
        let found = archive::find(url, &sites, &of, window).await;
        fleet.lock().found(&question.id, found, now_ms());
    }
    let answers = fleet.lock().answers(&question.id, now_ms()).unwrap_or_default();
    cancel.cancel();
    if as_json {
        println!("{}", shown::json(&answers));
    } else {
        for row in answers["rows"].as_array().into_iter().flatten() {
            println!("{}", visit(row));
        }
        eprint!("{}", summary(&answers));
    }
    if answers["complete"] == true { Ok(()) } else { Err("the answer is not complete".into()) }
}

/// Who has answered, and what is not known.
fn summary(answers: &Value) -> String {
    let text = |v: &Value| shown::line(v.as_str().unwrap_or("?"));
    let all = |v: &Value| v.as_array().cloned().unwrap_or_default();
    let mut out = format!(
        "{} of {} gateways answered in {} ms; ",
        answers["answered"], answers["asked"], answers["elapsed_ms"]
    );
    let database = &answers["database"];
    out.push_str(&match (database["asked"] == true, database["why"].as_str()) {
        (false, _) => "no database was asked (--database)\n".to_owned(),
        (true, Some(why)) => format!("the database did not answer: {}\n", shown::line(why)),
        (true, None) => format!("the database has {} of these visits\n", database["rows"]),
    });
    for one in all(&answers["refused"]) {
        out.push_str(&format!("no rows of {}: {}\n", text(&one["gateway"]), text(&one["why"])));
    }
    for one in all(&answers["unknown"]) {
        out.push_str(&format!("not known of {}: {}\n", text(&one["gateway"]), unknown(&one)));
    }
    if answers["truncated"] == true {
        out.push_str("there are more visits than are shown: ask for a shorter time\n");
    }
    if answers["complete"] == true {
        out.push_str("complete\n");
    }
    out
}

/// What nobody can tell of a gateway, in words.
fn unknown(one: &Value) -> String {
    let (begin, until) =
        (shown::line(one["from"].as_str().unwrap_or("?")), shown::line(one["until"].as_str().unwrap_or("?")));
    match one["why"].as_str().unwrap_or_default() {
        "no-answer" if one["from"].is_string() => {
            format!("it did not answer; the database knows it until {begin}")
        }
        "no-answer" => "it did not answer".into(),
        "purged" => {
            format!("what was before {until}: it is deleted there, and not in the database (--database)")
        }
        "begins" => format!(
            "what was before {until}: its journal begins there. Was another box there? The database knows (--database)"
        ),
        "version" => "how far back it reaches: it is of an earlier version".into(),
        "lost" => {
            format!("{} events that were lost on the way, as the database has on record", one["events"])
        }
        "behind" => "some events of a box that is not there any more, which have not come".into(),
        "deleted" => format!("what was before {until}: it is deleted in the database"),
        "swapped" => format!(
            "what was between {begin} and {until}: the box was changed in this time, and what the old one had not sent is gone"
        ),
        "keys" => format!(
            "visits that were recorded under keys of persons which no gateway has any more: {} (null: an earlier version)",
            shown::json(&one["numbers"])
        ),
        other => shown::line(other),
    }
}

/// A visit, as a gateway tells it.
pub(super) fn visit(row: &Value) -> String {
    let text = |k: &str| shown::line(row[k].as_str().unwrap_or("?"));
    let unsent = if row["unsent"] == true { "  (not sent yet)" } else { "" };
    let gone = if row["sources"] == json!(["database"]) { "  (database alone)" } else { "" };
    format!(
        "{}  {}/{}/{}  {}  {}{unsent}{gone}",
        text("at"),
        text("site"),
        text("gateway"),
        text("lane"),
        text("outcome"),
        shown::json(&row["codes"])
    )
}
