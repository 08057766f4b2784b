use super::*;
use crate::store::edition::{Order, build};
use crate::store::lists::Lists;
use kakou_core::hl7::{Charset, Sample, sample};
use kakou_link::clock::TimeSource;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const NOON: i64 = 1_653_364_800_000;

struct Heard {
    folder: tempfile::TempDir,
    address: SocketAddr,
    metrics: Arc<Metrics>,
    cancel: CancellationToken,
}

/// An ear with empty lists, for these hosts.
fn listen(hosts: Vec<crate::config::Host>, lists: bool) -> Heard {
    let folder = tempfile::tempdir().unwrap();
    for name in kakou_core::hl7::word::LISTS.iter().filter(|_| lists) {
        let order = Order {
            data: folder.path(),
            name,
            version: 1,
            issued_ms: NOON - 1,
            base: None,
            sha256: None,
            signer: "",
            canary: &[],
            check: None,
        };
        build(&order, &b""[..], &mut |_| true).unwrap();
    }
    let hospital = Hospital {
        listen: "127.0.0.1:0".parse().unwrap(),
        hosts,
        tls: None,
        charset: Charset::Utf8,
        id_type: String::new(),
    };
    let (metrics, cancel) = (Arc::new(Metrics::default()), CancellationToken::new());
    let listening = open(&hospital).unwrap();
    let address = listening.address;
    let settings = HospitalSettings {
        hospital,
        gateway: GatewayId::new("gw-1").unwrap(),
        shares: None,
        utc_offset_ms: 0,
        data: folder.path().to_path_buf(),
        clock: Clock::new(TimeSource::Fixed, NOON, None),
        metrics: metrics.clone(),
        told: watch::Sender::new(0),
    };
    tokio::spawn(run(listening, settings, cancel.clone()));
    Heard { folder, address, metrics, cancel }
}

fn here() -> Vec<crate::config::Host> {
    vec![crate::config::Host::Address("127.0.0.1".parse().unwrap())]
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    while !all.ends_with(b"\x1c\r") {
        let mut byte = [0];
        let read = timeout(Duration::from_secs(20), stream.read(&mut byte)).await.unwrap().unwrap();
        if read == 0 {
            break;
        }
        all.push(byte[0]);
    }
    String::from_utf8(all).unwrap()
}

fn message(event: &str, at_ms: i64, control: &str) -> Vec<u8> {
    let of =
        Sample { event, patient: "B-12", name: Some("李四"), ward: Some("W3"), room: None, at_ms, control };
    frame::framed(sample(of).as_bytes())
}

#[tokio::test]
async fn what_is_acknowledged_counts_for_whoever_is_looked_up_next() {
    let heard = listen(here(), true);
    let lists = Lists::open(heard.folder.path()).unwrap();
    let state = || {
        lists.enter(0).unwrap();
        let found = lists.entry("patients", "B-12").unwrap().map(|e| e["state"].clone());
        lists.leave().unwrap();
        found
    };
    let mut stream = TcpStream::connect(heard.address).await.unwrap();
    for (event, expected, control) in
        [("A01", "admitted", "1"), ("A03", "discharged", "2"), ("A13", "admitted", "3")]
    {
        stream.write_all(&message(event, NOON, control)).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.contains(&format!("MSA|AA|{control}\r")), "{answer}");
        assert_eq!(state(), Some(expected.into()));
    }
    // Two at once, the second one too old.
    let both = [message("A03", NOON, "4"), message("A01", NOON - 60_000, "5")].concat();
    stream.write_all(&both).await.unwrap();
    assert!(answer(&mut stream).await.contains("MSA|AA|4\r"));
    assert!(answer(&mut stream).await.contains("MSA|AA|5\r"), "known, so that nobody sends it again");
    assert_eq!(state(), Some("discharged".into()));
    let plain = heard.metrics.plain();
    assert_eq!((plain["hospital_message_total"], plain["hospital_late_total"]), (4, 1));
    heard.cancel.cancel();
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_answer_and_the_next_message_is_heard() {
    let heard = listen(here(), true);
    let mut stream = TcpStream::connect(heard.address).await.unwrap();
    for (bytes, expected) in [
        (frame::framed(b"hello"), "MSA|AE||"),
        (message("A04", NOON, "7"), "MSA|AR|7|"),
        (message("A01", NOON + 3_600_000, "8"), "MSA|AE|8|"),
    ] {
        stream.write_all(&bytes).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.contains(expected) && answer.contains("\rERR|"), "{answer}");
    }
    stream.write_all(&message("A01", NOON, "9")).await.unwrap();
    assert!(answer(&mut stream).await.contains("MSA|AA|9\r"));
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let said = answer(&mut stream).await;
    assert!(said.contains("MLLP"), "{said}");
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "nobody knows where the next message begins");
}

#[tokio::test]
async fn a_host_that_is_not_named_is_turned_away_unheard() {
    let heard = listen(vec![crate::config::Host::Address("192.0.2.7".parse().unwrap())], true);
    let mut stream = TcpStream::connect(heard.address).await.unwrap();
    drop(stream.write_all(&message("A01", NOON, "1")).await);
    let ended = stream.read(&mut [0]).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    assert_eq!(heard.metrics.plain()["hospital_host_refused_total"], 1);
    assert!(!heard.metrics.plain().contains_key("hospital_message_total"));
    let named = listen(vec![crate::config::Host::Name("localhost".into())], true);
    let mut stream = TcpStream::connect(named.address).await.unwrap();
    stream.write_all(&message("A01", NOON, "1")).await.unwrap();
    assert!(answer(&mut stream).await.contains("MSA|AA|1\r"));
}

#[tokio::test]
async fn before_there_is_a_list_the_sender_is_to_send_again() {
    let heard = listen(here(), false);
    let mut stream = TcpStream::connect(heard.address).await.unwrap();
    stream.write_all(&message("A01", NOON, "1")).await.unwrap();
    let said = answer(&mut stream).await;
    assert!(said.contains("MSA|AE|1|") && said.contains("207^") && said.contains("again"), "{said}");
}
