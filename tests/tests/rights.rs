//! The examples for brokers give everybody what the one list of topics says, and nothing more.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use kakou_central::fleet::watch::HEARD;
use kakou_central::ingest::known;
use kakou_central::ingest::listen::{Listen, Part};
use kakou_link::broker::{MqttVersion, Upstream};
use kakou_wire::asyncapi;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const ACCESS: &str = include_str!("../../gateway/central/mosquitto.acl.tmpl");
const NATS: &str = include_str!("../../gateway/central/nats.conf");
const PAGE: &str = include_str!("../../gateway/central/README.md");
/// The gateway of the examples.
const GATEWAY: (&str, &str) = ("school-3", "gw-1");

/// Filters that somebody may write to and read, as MQTT writes them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Rights {
    write: BTreeSet<String>,
    read: BTreeSet<String>,
}

/// What nothing but Mosquitto has: figures of the broker, and Sparkplug, which has a dot in its topics.
fn elsewhere(filter: &str) -> bool {
    filter.starts_with("$SYS/") || filter.starts_with("spBv1.0/")
}

/// Of the access list that ships, by user; blocks that wait for somebody to take their # away as well.
fn mosquitto() -> BTreeMap<String, Rights> {
    let (site, gw) = GATEWAY;
    let mut all = BTreeMap::<String, Rights>::new();
    let mut user = String::new();
    for line in ACCESS.replace("{site}", site).replace("{gw}", gw).lines() {
        let line = line
            .strip_prefix('#')
            .filter(|l| l.starts_with("user ") || l.starts_with("topic "))
            .unwrap_or(line);
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["user", name] => user = (*name).to_owned(),
            ["topic", how, filter] if !elsewhere(filter) => {
                let rights = all.entry(user.clone()).or_default();
                if how.contains("write") {
                    rights.write.insert((*filter).to_owned());
                }
                if how.contains("read") {
                    rights.read.insert((*filter).to_owned());
                }
            }
            _ => {}
        }
    }
    all
}

/// Of the example for NATS.
fn nats() -> BTreeMap<String, Rights> {
    let conf: String =
        NATS.lines().map(|l| format!("{}\n", l.trim_start().trim_start_matches('#'))).collect();
    let subjects = |text: &str, what: &str| {
        let Some((_, rest)) = text.split_once(&format!("{what} {{ allow: [")) else { return BTreeSet::new() };
        let (list, _) = rest.split_once(']').unwrap();
        let quoted = list.split('"').skip(1).step_by(2).filter(|s| *s != "$MQTT.sub.>");
        quoted.map(|s| s.replace('.', "/").replace('*', "+")).collect()
    };
    let users = conf.split("{ user: \"CN=").skip(1).map(|rest| {
        let (name, rest) = rest.split_once('"').unwrap();
        (name.to_owned(), Rights { write: subjects(rest, "publish"), read: subjects(rest, "subscribe") })
    });
    users.collect()
}

#[test]
fn nats_gives_every_user_the_rights_of_the_access_list() {
    let (wanted, given) = (mosquitto(), nats());
    let users: BTreeSet<&str> = given.keys().map(String::as_str).collect();
    assert_eq!(users, BTreeSet::from(["central", "metrics", "ops", "readers", "school-3.gw-1"]));
    for (user, given) in &given {
        let wanted = &wanted[user];
        let more = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
        assert_eq!(more(&wanted.read, &given.read), [""; 0], "{user} does not read");
        assert_eq!(more(&given.read, &wanted.read), [""; 0], "{user} should not read");
        assert_eq!(more(&wanted.write, &given.write), [""; 0], "{user} does not write");
        assert_eq!(more(&given.write, &wanted.write), [""; 0], "{user} should not write");
    }
}

/// Whether a filter takes everything that another one takes.
fn covers(filter: &str, other: &str) -> bool {
    let (a, b): (Vec<&str>, Vec<&str>) = (filter.split('/').collect(), other.split('/').collect());
    a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| *a == "+" || a == b)
}

#[test]
fn every_topic_of_the_contract_has_somebody_who_may_say_it_and_somebody_who_may_hear_it() {
    let document: Value = serde_json::from_str(&asyncapi::document()).unwrap();
    let rights = mosquitto();
    let gateway = &rights[&format!("{}.{}", GATEWAY.0, GATEWAY.1)];
    let may = |who: &[&str], of: fn(&Rights) -> &BTreeSet<String>, filter: &str| {
        who.iter().any(|user| of(&rights[*user]).iter().any(|f| covers(f, filter)))
    };
    let central = ["central", "ops", "homeassistant"];
    let mut known = (BTreeSet::new(), BTreeSet::new());
    for operation in document["operations"].as_object().unwrap().values() {
        let channel = operation["channel"]["$ref"].as_str().unwrap().trim_start_matches('#');
        let address = document.pointer(channel).unwrap()["address"].as_str().unwrap();
        if address.starts_with("KE1:") {
            continue;
        }
        let filled = address.replace("{site}", GATEWAY.0).replace("{gateway}", GATEWAY.1);
        let parts = filled.split('/').map(|p| if p.starts_with('{') { "+" } else { p });
        let filter = parts.collect::<Vec<_>>().join("/");
        let between = filter.contains("/peer/");
        if operation["action"] == "send" {
            assert!(gateway.write.iter().any(|f| covers(f, &filter)), "a gateway cannot say {filter}");
            assert!(between || may(&central, |r| &r.read, &filter), "nobody hears {filter}");
            known.0.insert(filter);
        } else {
            assert!(gateway.read.iter().any(|f| covers(f, &filter)), "a gateway cannot hear {filter}");
            assert!(between || may(&central, |r| &r.write, &filter), "nobody says {filter}");
            known.1.insert(filter);
        }
    }
    // And it may do nothing of which the contract does not speak. A command is cleared by whoever has done it.
    for filter in &gateway.write {
        let cleared = filter.ends_with("/cmd/+");
        assert!(cleared || known.0.iter().any(|k| covers(filter, k)), "what does a gateway say at {filter}?");
    }
    for filter in &gateway.read {
        assert!(known.1.iter().any(|k| covers(filter, k)), "what does a gateway hear at {filter}?");
    }
}

#[test]
fn programs_of_the_central_side_subscribe_to_what_they_may_read_alone() {
    let rights = mosquitto();
    let may = |user: &str, filter: &str| rights[user].read.iter().any(|f| covers(f, filter));
    for kind in HEARD {
        assert!(may("ops", &format!("kakou/v1/+/+/{kind}")), "the page does not hear {kind}");
    }
    let broker = Upstream::tool("mqtt://127.0.0.1:1", None, None, MqttVersion::V5).unwrap();
    let listen = Listen { broker, client_id: "c".into(), site: "+".into(), group: None, part: Part::All };
    for filter in listen.filters(true) {
        assert!(may("central", &filter), "the ingest does not hear {filter}");
    }
    for filter in known::filters(&listen) {
        assert!(may("central", &filter), "what gateways tell each other is not heard: {filter}");
    }
    for user in ["metrics", "readers", "homeassistant"] {
        assert_eq!(rights[user].write, BTreeSet::new(), "{user} says nothing");
    }
}

/// Writing and reading of the next command about rights in topics behind a text.
fn patterns(behind: &str) -> [String; 2] {
    let (_, rest) = PAGE.split_once(behind).unwrap();
    let mut quoted = rest.split('"').skip(1).step_by(2);
    let names = [("$B", "kakou\\.v1\\.school-3\\.gw-1"), ("$S", GATEWAY.0), ("$G", GATEWAY.1)];
    [(); 2].map(|()| {
        let text = quoted.next().unwrap().to_owned();
        names.iter().fold(text, |text, (name, value)| text.replace(name, value))
    })
}

#[test]
fn rabbitmq_gives_gateway_and_ingest_the_rights_of_the_access_list() {
    let rights = mosquitto();
    let matches = |pattern: &str, topic: &str| {
        let key = topic.replace('+', "x").replace('/', ".");
        jsonschema::draft202012::new(&json!({ "pattern": pattern })).unwrap().is_valid(&json!(key))
    };
    let users = [
        ("school-3.gw-1", patterns("set_topic_permissions $S.$G amq.topic")),
        ("central", patterns("set_topic_permissions central amq.topic")),
    ];
    for (user, [write, read]) in users {
        for (name, other) in &rights {
            for (pattern, mine, theirs) in
                [(&write, &rights[user].write, &other.write), (&read, &rights[user].read, &other.read)]
            {
                for filter in theirs {
                    let wanted = mine.iter().any(|f| covers(f, &filter.replace('+', "x")));
                    assert_eq!(matches(pattern, filter), wanted, "{user}: {filter} of {name} by {pattern}");
                }
            }
        }
    }
}
