//! What gateways tell each other, and what of it is believed.

use super::*;
use kakou_wire::peers::ENTRIES;
use serde_json::json;

fn from(site: &str, gateway: &str) -> From {
    From { site: SiteId::new(site).unwrap(), gateway: GatewayId::new(gateway).unwrap() }
}

fn used(pass: &str) -> String {
    json!({ "pass": pass, "lane": "lane-1", "visit": 7, "at_ms": 5 }).to_string()
}

fn page(after: &str, next: Option<&str>, waits_for: &[&str]) -> Page {
    let waits_for = waits_for.iter().map(|n| GatewayId::new(*n).unwrap()).collect();
    let next = next.map(str::to_owned);
    Page { next, waits_for, ..Page::empty(GatewayId::new(OWN).unwrap(), after.into()) }
}

#[test]
fn a_word_is_of_the_site_and_the_gateway_of_its_topic_whatever_it_says() {
    let (who, message) = read("kakou/v1/hospital/peer/gw-9/redemption", used("k:1").as_bytes()).unwrap();
    assert_eq!(who, from("hospital", "gw-9"));
    assert!(
        matches!(message, PeerMessage::Use(known) if known.gateway.as_str() == "gw-9" && known.pass == "k:1")
    );
    // Of another gateway a page may tell; of another site nothing can.
    let mut told = page("", None, &[]);
    told.uses = vec![KnownUse {
        pass: "k:1".into(),
        gateway: GatewayId::new("gw-1").unwrap(),
        lane: kakou_core::ids::LaneId::new("lane-1").unwrap(),
        visit: 1,
        at_ms: None,
        teller: Some(GatewayId::new("gw-1").unwrap()),
    }];
    let body = serde_json::to_vec(&told).unwrap();
    assert_eq!(read("kakou/v1/hospital/gw-9/tell", &body).unwrap().0, from("hospital", "gw-9"));
}

#[test]
fn what_no_gateway_tells_is_not_taken() {
    let entry = format!("KE1:{}.{}.{}", "a".repeat(40), "b".repeat(40), "c".repeat(86));
    let good = |topic: &str, body: &str| read(topic, body.as_bytes()).is_ok();
    assert!(good("kakou/v1/s/peer/g/entry", &entry) && good("kakou/v1/s/g/ask", "{}"));
    assert!(good("kakou/v1/s/g/state", "") && good("kakou/v1/s/g/state", r#"{"online":true,"epoch":3}"#));
    let large = used(&format!("k:{}", "x".repeat(LARGEST)));
    let other = Page { asker: GatewayId::new("gw-2").unwrap(), ..page("", None, &[]) };
    let json = |page: &Page| serde_json::to_string(page).unwrap();
    for (topic, body) in [
        ("kakou/v1/s/peer/g/redemption", large),
        ("kakou/v1/s/peer/g/redemption", used("k:\u{0}")),
        ("kakou/v1/s/peer/g/redemption", used("辽P12345")),
        ("kakou/v1/s/peer/g/redemption", "[]".to_owned()),
        ("kakou/v1/s/peer/g/entry", "KE1:a.b.c".to_owned()),
        ("kakou/v1/s/peer/g/entry", entry.replace('.', "\n")),
        ("kakou/v1/s/peer/g/hello", "{}".to_owned()),
        ("kakou/v1/s/g/tell", json(&other)),
        ("kakou/v1/s/g/tell", json(&page("u:k:2", Some("u:k:1"), &[]))),
        ("kakou/v1/s/g/ask", r#"{"after":"\u0001"}"#.to_owned()),
        ("kakou/v1/S/g/ask", "{}".to_owned()),
        ("kakou/v2/s/g/ask", "{}".to_owned()),
    ] {
        assert!(!good(topic, &body), "{topic} {body}");
    }
}

#[test]
fn one_gateway_uses_up_its_own_share_and_that_of_no_other_site() {
    let mut shares = Shares::new();
    let (bad, honest) = (from("s", "gw-1"), from("t", "gw-1"));
    let used = read("kakou/v1/s/peer/gw-1/redemption", used("k:1").as_bytes()).unwrap().1;
    let taken = (0..budget::USES + 5).filter(|_| shares.allows(&bad, &used)).count();
    assert_eq!(taken, budget::USES as usize);
    assert!(shares.allows(&honest, &used) && shares.allows(&bad, &PeerMessage::Ask(String::new())));
    let asks = (0..10_000).filter(|_| shares.allows(&honest, &PeerMessage::Ask(String::new()))).count();
    assert_eq!(asks, ASKS as usize);
    assert!(shares.turn(Instant::now()).is_empty(), "the minute is not over");
    let over = Instant::now() + MINUTE;
    assert_eq!(shares.turn(over), [bad.clone(), honest]);
    assert!(shares.allows(&bad, &used), "another minute");
}

#[test]
fn a_gateway_is_asked_until_it_has_told_everything_and_less_and_less_often_while_it_is_silent() {
    let (mut round, one, now) = (Round::default(), from("s", "gw-1"), Instant::now());
    round.state(&one, true, 1, now);
    assert_eq!(round.due(now), [(one.clone(), String::new())]);
    let silent = (1..7_200).filter(|s| !round.due(now + Duration::from_secs(*s)).is_empty()).count();
    assert!((5..30).contains(&silent), "{silent}");
    round.state(&one, false, 1, now);
    assert!(round.due(now + AGAIN_MAX * 2).is_empty(), "one that is away is not asked");
    round.state(&one, true, 1, now);
    assert!(!round.is_next(&one, &page("u:k:7", None, &[])), "nobody has asked for that");
    assert!(!round.stored(&one, &page("", Some("u:k:1"), &[]), now));
    assert_eq!(round.due(now), [(one.clone(), "u:k:1".to_owned())], "the next page at once");
    // Another box under its name has another journal.
    round.state(&one, true, 2, now);
    assert!(round.is_next(&one, &page("", None, &[])) && !round.is_next(&one, &page("u:k:1", None, &[])));
    assert!(!round.stored(&one, &page("", Some(ENTRIES), &[]), now));
    assert!(round.stored(&one, &page(ENTRIES, None, &[]), now), "this is all");
    round.state(&one, true, 2, now);
    assert!(round.due(now + AGAIN_MAX).is_empty(), "it is not asked again");
    // It says more than is taken: it is asked for all of it, later.
    round.missed(&one, now);
    assert!(round.due(now).is_empty() && round.due(now + MINUTE).len() == 1);
}

#[test]
fn a_box_that_waits_for_the_central_side_is_not_believed_to_know_what_the_box_before_has_used() {
    let (mut round, one, now) = (Round::default(), from("s", "gw-1"), Instant::now());
    round.state(&one, true, 2, now);
    assert!(!round.stored(&one, &page("", None, &[OWN]), now));
    assert!(round.whole.is_empty() && round.is_next(&one, &page(WAITS, None, &[])));
    // A supervisor has released it: it tells all that there is.
    assert!(!round.stored(&one, &page(WAITS, None, &[]), now));
    assert!(round.is_next(&one, &page("", None, &[])) && round.stored(&one, &page("", None, &[]), now));
}
