//! Attacks by whoever reaches the screens: connections that say nothing, begin and do not end, or come by the
//! thousand; guesses at PINs; a look at a desk whose officer has gone. The real daemon under its unit's limit of open files, the servers as they ship.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "attacks/desk.rs"]
mod desk;

use kakou_drivers::sim::relay::RelaySim;
use kakou_drivers::sim::scanner::{Faults, ScannerSim};
use kakou_link::https::{self, Endpoint};
use kakou_tests::certs::{self, Authority};
use kakou_tests::crowd::{Crowd, Habit, connect};
use kakou_tests::daemon::{Gateway, Plan, free_port, programs};
use kakou_tests::desk::{DeskClient, PIN, officers};
use kakou_tests::{passes, profiles, wait};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::{Map, json};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

/// A program that ends with the test.
struct ChildGuard(Child);

impl Drop for ChildGuard {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A gate with a barrier, under the limits of its unit.
struct Gate {
    gateway: Gateway,
    scanner: ScannerSim,
    relay: Option<RelaySim>,
    pulses: Arc<AtomicUsize>,
    issuer: kakou_authority::issuer::Issuer,
    people: usize,
    _folder: tempfile::TempDir,
}

fn relay(gateway: &Gateway, pulses: &Arc<AtomicUsize>) -> RelaySim {
    let count = pulses.clone();
    let tell = move |_| {
        count.fetch_add(1, Ordering::SeqCst);
    };
    RelaySim::new(&gateway.device("lane-1", "barrier"), tell).unwrap()
}

fn gate() -> Gate {
    gate_of(None)
}

/// The same under a limit of files from its start on.
fn gate_of(files: Option<u64>) -> Gate {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("fast.toml"),
        profiles::lane("fast", &["resident-card"], &["status"], "", true),
    )
    .unwrap();
    let plan = Plan { http: true, tables: officers(), files, ..Plan::default() };
    let plan = plan.lane("lane-1", "fast.toml", &["scanner", "barrier"]);
    let mut gateway = Gateway::prepare(folder.path(), plan);
    let issuer = passes::issuer();
    passes::trust(&gateway.lists(), vec![passes::entry(&issuer)]);
    passes::list(&gateway.lists(), "status", Map::new());
    let pulses = Arc::new(AtomicUsize::new(0));
    let relay = Some(relay(&gateway, &pulses));
    let scanner = ScannerSim::new(&gateway.device("lane-1", "scanner"), Faults::default(), 1).unwrap();
    gateway.start();
    gateway.await_events("device", 2);
    if files.is_none() {
        let limit = Rlimit { current: Some(4_096), maximum: Some(4_096) };
        let pid = Pid::from_raw(gateway.pid().cast_signed());
        prlimit(pid, Resource::Nofile, limit).unwrap();
    }
    Gate { gateway, scanner, relay, pulses, issuer, people: 0, _folder: folder }
}

impl Gate {
    fn address(&self) -> SocketAddr {
        self.gateway.url("").trim_start_matches("http://").parse().unwrap()
    }

    /// The next person goes in, and the barrier opens.
    fn opens(&mut self, when: &str) {
        self.people += 1;
        let card =
            passes::pass(&self.issuer, "resident-card", json!({ "id": format!("good-{}", self.people) }));
        let before = self.pulses.load(Ordering::SeqCst);
        self.scanner.scan(&card).unwrap();
        let opened = wait::try_until(LIMIT, || (self.pulses.load(Ordering::SeqCst) > before).then_some(()));
        assert!(opened.is_some(), "{when}: the barrier stays closed; log:\n{}", self.gateway.log());
    }

    /// The barrier's plug is pulled and put back.
    fn replug(&mut self) {
        let told = |ready: bool| {
            let of_barrier = |e: &&serde_json::Value| {
                e["data"]["device"] == "lane-1-barrier" && e["data"]["ready"] == ready
            };
            self.gateway.events("device").iter().filter(of_barrier).count()
        };
        let (gone, back) = (told(false), told(true));
        self.relay = None;
        let seen = wait::try_until(LIMIT, || (told(false) > gone).then_some(()));
        assert!(seen.is_some(), "nobody sees that the barrier is gone");
        self.relay = Some(relay(&self.gateway, &self.pulses));
        let seen = wait::try_until(LIMIT, || (told(true) > back).then_some(()));
        assert!(seen.is_some(), "a barrier that is plugged anew does not come back:\n{}", self.gateway.log());
    }

    /// The most memory that the daemon ever had, in MiB.
    fn most_memory_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.gateway.pid())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 1024.0
    }

    fn open_files(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.gateway.pid())).unwrap().count()
    }
}

#[test]
fn headers_without_an_end_take_no_memory_and_no_lane() {
    let mut g = gate();
    let mut says = b"GET /status HTTP/1.1\r\nHost: localhost\r\nX-Long: ".to_vec();
    says.resize(says.len() + 380_000, b'a');
    let habit = Habit { to: g.address(), addresses: 100, says: says.into(), again: None };
    let crowd = Crowd::come(700, &habit);
    wait::until("the end of the flood", LIMIT, || (crowd.said() >= 700).then_some(()));
    g.opens("under a flood of headers");
    // The unit gives it 256 MB; 700 such headers would take 266 MB.
    let most = g.most_memory_mb();
    assert!(most < 128.0, "{most} MB");
}

#[test]
fn five_thousand_idle_connections_leave_lanes_desks_and_what_is_plugged_anew_alone() {
    let mut g = gate();
    let habit =
        Habit { to: g.address(), addresses: 200, says: Arc::from([]), again: Some(Duration::from_secs(5)) };
    let crowd = Crowd::come(5_000, &habit);
    // They are there when each has come once, or when no file is left for more.
    wait::until("the crowd", LIMIT, || (crowd.said() >= 5_000 || g.open_files() >= 4_090).then_some(()));
    g.opens("under a crowd");
    let signed_in = wait::try_until(LIMIT, || {
        let mut desk = DeskClient::new(&g.gateway.url(""));
        (desk.sign_in("li", PIN).ok()?.0 == 200 && desk.get("/api/v1/session").ok()?.0 == 200).then_some(())
    });
    assert!(signed_in.is_some(), "nobody can sign in");
    g.replug();
    g.opens("with a barrier that was plugged anew");
    assert!(g.open_files() < 1_000, "{} files are open", g.open_files());
    assert!(!g.gateway.log().contains("panicked"));
    drop(crowd);
}

/// What one at this address is answered, and the connection.
async fn says(from: Ipv4Addr, to: SocketAddr, request: &str) -> Option<(String, tokio::net::TcpStream)> {
    let mut stream = connect(from, to).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut buffer = [0; 4096];
    let n = timeout(Duration::from_secs(10), stream.read(&mut buffer)).await.ok()?.ok()?;
    let answer = String::from_utf8_lossy(&buffer[..n]).into_owned();
    answer.starts_with("HTTP/1.1 200").then_some((answer, stream))
}

#[test]
fn public_streams_without_end_keep_no_desk_out() {
    let mut g = gate();
    let to = g.address();
    let screen = "GET /api/v1/lanes/lane-1/screen HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let habit =
        Habit { to, addresses: 8, says: screen.as_bytes().into(), again: Some(Duration::from_secs(1)) };
    let crowd = Crowd::come(400, &habit);
    wait::until("the crowd", LIMIT, || (crowd.said() >= 400).then_some(()));
    let body = json!({ "officer": "li", "pin": PIN }).to_string();
    let sign_in = format!(
        "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    // A desk beside the crowd, and one behind the same address as a part of it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for from in [Ipv4Addr::new(127, 0, 2, 1), Ipv4Addr::new(127, 0, 1, 1)] {
        let mut stream = wait::until("a desk", LIMIT, || {
            runtime.block_on(async {
                let (answer, _) = says(from, to, &sign_in).await?;
                let (_, rest) = answer.split_once("set-cookie: ")?;
                let cookie = rest.split(';').next()?;
                let desk = format!(
                    "GET /api/v1/lanes/lane-1/desk HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n"
                );
                Some(says(from, to, &desk).await?.1)
            })
        });
        // It stays, while those of the crowd come again and again.
        let before = crowd.said();
        let beats = runtime.block_on(async {
            let mut heard = Vec::new();
            while heard.windows(4).filter(|w| w == b"beat").count() < 3 {
                let mut buffer = [0; 4096];
                let n = timeout(Duration::from_secs(30), stream.read(&mut buffer)).await.unwrap().unwrap();
                if n == 0 {
                    return false;
                }
                heard.extend_from_slice(&buffer[..n]);
            }
            true
        });
        assert!(beats, "the desk of {from} was sent away");
        assert!(crowd.said() > before, "nobody came");
    }
    g.opens("beside a crowd that listens");
    let status = DeskClient::new(&g.gateway.url("")).get("/metrics").unwrap().1;
    assert!(status.contains("http_connection_displaced"), "it is counted:\n{status}");
    assert!(g.gateway.log().contains("more connections than there are seats"), "{}", g.gateway.log());
}

#[test]
fn a_daemon_with_few_files_keeps_enough_of_them_for_its_devices_whoever_comes() {
    let mut g = gate_of(Some(400));
    let habit =
        Habit { to: g.address(), addresses: 200, says: Arc::from([]), again: Some(Duration::from_secs(5)) };
    let crowd = Crowd::come(1_000, &habit);
    wait::until("the crowd", LIMIT, || (crowd.said() >= 1_000).then_some(()));
    g.opens("with few files");
    g.replug();
    g.opens("with a barrier that was plugged anew");
    // Its own, 32 connections, and as many on their way out.
    assert!(g.open_files() < 200, "{} files are open", g.open_files());
    assert!(!g.gateway.log().contains("no connection can be accepted"), "{}", g.gateway.log());
}

/// Says something piece by piece, a second apart, and then nothing; gives how the connection ends, if it does.
async fn ends(to: SocketAddr, says: Vec<String>, within: Duration) -> Option<()> {
    let mut stream = connect(Ipv4Addr::LOCALHOST, to).await.unwrap();
    let mut pieces = says.into_iter();
    let mut pace = tokio::time::interval(Duration::from_secs(1));
    let mut buffer = [0; 4096];
    let whole = async {
        loop {
            tokio::select! {
                read = stream.read(&mut buffer) => if !matches!(read, Ok(n) if n > 0) { return },
                _ = pace.tick(), if pieces.len() > 0 => {
                    let piece = pieces.next().unwrap_or_default();
                    if stream.write_all(piece.as_bytes()).await.is_err() { return }
                }
            }
        }
    };
    timeout(within, whole).await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_leaves_unfinished_is_closed_and_a_screen_stays() {
    let g = tokio::task::spawn_blocking(gate).await.unwrap();
    let to = g.address();
    let drip = |head: &str, piece: &str| {
        let rest = (0..100).map(|_| piece.to_owned());
        std::iter::once(head.to_owned()).chain(rest).collect::<Vec<_>>()
    };
    let post = "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    let body = format!("{post}Content-Length: 1000\r\n\r\n{{\"officer\":\"");
    let chunked = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
    let cases = [
        ("no byte", vec![]),
        ("half a request line", vec!["GET /sta".to_owned()]),
        ("half of the headers", vec!["GET /status HTTP/1.1\r\nHost: localhost\r\nX-A: ".to_owned()]),
        ("headers that drip", drip("GET /status HTTP/1.1\r\nHost: localhost\r\nX-A: ", "a")),
        ("half a body", vec![body.clone()]),
        ("a body that drips", drip(&body, "a")),
        ("chunks that drip", drip(&chunked, "1\r\na\r\n")),
        (
            "a kept connection without a next request",
            vec!["GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()],
        ),
    ];
    // A public screen shows for as long as somebody looks at it.
    let mut screen = connect(Ipv4Addr::LOCALHOST, to).await.unwrap();
    screen.write_all(b"GET /api/v1/lanes/lane-1/screen HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut tries = tokio::task::JoinSet::new();
    for (what, says) in cases {
        tries.spawn(async move { (what, ends(to, says, Duration::from_secs(30)).await) });
    }
    let open: Vec<_> = tries.join_all().await.into_iter().filter(|(_, end)| end.is_none()).collect();
    assert!(open.is_empty(), "still open: {open:?}");
    let mut heard = Vec::new();
    let beat = async {
        while heard.windows(4).filter(|w| w == b"beat").count() < 3 {
            let mut buffer = [0; 4096];
            let n = screen.read(&mut buffer).await.unwrap();
            assert!(n > 0, "the stream of a screen ended");
            heard.extend_from_slice(&buffer[..n]);
        }
    };
    timeout(LIMIT, beat).await.expect("the screen's beat goes on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_nobody_reads_is_given_up() {
    let g = tokio::task::spawn_blocking(gate).await.unwrap();
    let mut stream = connect(Ipv4Addr::LOCALHOST, g.address()).await.unwrap();
    // More than both sides' kernels keep.
    let asks = "GET /assets/strings.js HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(4_000);
    let asked = async {
        // The write ends with the connection, as nothing is read.
        while stream.write_all(asks.as_bytes()).await.is_ok() {}
    };
    assert!(timeout(Duration::from_secs(90), asked).await.is_ok(), "the connection stays");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_desk_of_an_officer_who_signed_out_goes_dark() {
    let (mut g, desk) = tokio::task::spawn_blocking(|| {
        let g = gate();
        let mut desk = DeskClient::new(&g.gateway.url(""));
        assert_eq!(desk.sign_in("li", PIN).unwrap().0, 200);
        (g, desk)
    })
    .await
    .unwrap();
    let mut stream = connect(Ipv4Addr::LOCALHOST, g.address()).await.unwrap();
    let cookie = desk.cookie();
    let ask =
        format!("GET /api/v1/lanes/lane-1/desk HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n");
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut buffer = [0; 4096];
    assert!(timeout(LIMIT, stream.read(&mut buffer)).await.unwrap().unwrap() > 0);
    let _runs = tokio::task::spawn_blocking(move || {
        assert_eq!(desk.sign_out().unwrap(), 204);
        g.opens("when the officer has gone");
        g
    })
    .await
    .unwrap();
    let mut rest = Vec::new();
    let end = timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    assert!(end.is_ok(), "the stream goes on");
    assert!(!String::from_utf8_lossy(&rest).contains("ADMIT"), "it told of what came afterwards");
}

/// The status of an answer, if there is one.
fn ask_by_tls(ca: &Path, port: u16, path: &str) -> Option<u16> {
    let (client, place) =
        (certs::client(ca), Endpoint::read(&format!("https://127.0.0.1:{port}{path}")).unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let asked = https::ask(&client, &place, hyper::Method::GET, &[], hyper::body::Bytes::new());
    let answer = runtime.block_on(asked).ok()?;
    // A browser that came by TLS once comes by nothing else.
    let safe = answer.headers().get("strict-transport-security").is_some();
    assert_eq!(safe, path == "/status");
    Some(answer.status().as_u16())
}

/// A genuine request is answered while many that say nothing are connected, from another address and from the
/// same one.
fn answers_in_a_crowd(ca: &Path, port: u16, path: &str) {
    let to: SocketAddr = (Ipv4Addr::LOCALHOST, port).into();
    let ask = || ask_by_tls(ca, port, path);
    // Two bytes of a handshake are as good as none.
    for says in [&b""[..], &b"\x16\x03"[..]] {
        let habit = Habit { to, addresses: 1, says: says.into(), again: Some(Duration::from_secs(5)) };
        let crowd = Crowd::come(500, &habit);
        wait::until("the crowd", LIMIT, || (crowd.said() >= 500).then_some(()));
        for n in 1..=3 {
            assert_eq!(
                ask().unwrap_or_default(),
                200,
                "request {n} beside {} that say {says:?}",
                crowd.said()
            );
        }
    }
    // Behind one router all have the same address.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let silent = runtime.block_on(async {
        let mut all = Vec::new();
        for _ in 0..500 {
            all.push(
                timeout(Duration::from_secs(5), connect(Ipv4Addr::LOCALHOST, to)).await.unwrap().unwrap(),
            );
        }
        all
    });
    assert_eq!(ask(), Some(200), "beside {} of the same address", silent.len());
}

#[test]
fn silent_connections_block_no_desk_with_tls() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    let (cert, key) = authority.issue("desk", true);
    let port = free_port();
    let tables = format!(
        "{}[http]\nlisten = \"127.0.0.1:{port}\"\ncert = \"{}\"\nkey = \"{}\"\n",
        officers(),
        cert.display(),
        key.display()
    );
    std::fs::write(folder.path().join("gate.toml"), profiles::lane("gate", &["opaque"], &[], "", false))
        .unwrap();
    let plan = Plan { tables, ..Plan::default() }.lane("lane-1", "gate.toml", &["scanner"]);
    let mut gateway = Gateway::prepare(folder.path(), plan);
    gateway.start();
    answers_in_a_crowd(&authority.ca, port, "/status");
}

#[test]
fn silent_connections_block_no_box_that_enrols() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let (url, listen) = (format!("https://127.0.0.1:{port}"), format!("127.0.0.1:{port}"));
    let kakou = |arguments: &[&str]| {
        let mut command = Command::new(programs().join("kakou"));
        command.current_dir(folder.path()).args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
        command
    };
    assert!(kakou(&["ca", "init", "--dir", "ca"]).status().unwrap().success());
    let serve = ["ca", "serve", "--dir", "ca", "--url", &url, "--listen", &listen];
    let _server = ChildGuard(kakou(&serve).spawn().unwrap());
    wait::until("the enrolment server", LIMIT, || std::net::TcpStream::connect(&listen).ok());
    answers_in_a_crowd(&folder.path().join("ca/root.pem"), port, "/.well-known/est/cacerts");
}

#[test]
fn silent_connections_block_no_photograph_and_no_list() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path());
    authority.issue("bulk", true);
    std::fs::write(folder.path().join("secret"), [7; 32]).unwrap();
    std::fs::create_dir(folder.path().join("feeds")).unwrap();
    std::fs::write(folder.path().join("feeds/part"), "a list").unwrap();
    let link = |to: &str, name: &str| {
        std::os::unix::fs::symlink(to, folder.path().join("feeds").join(name)).unwrap()
    };
    link("../secret", "link");
    link("..", "folder");
    link("part", "inside");
    let port = free_port();
    let (url, listen) = (format!("https://127.0.0.1:{port}"), format!("127.0.0.1:{port}"));
    let arguments = [
        "central",
        "bulk",
        "--listen",
        &listen,
        "--cert",
        "bulk.pem",
        "--key",
        "bulk.key",
        "--feeds",
        "feeds",
        "--bulk-url",
        &url,
        "--bulk-secret",
        "secret",
        "--photos",
        "photos",
    ];
    let server = Command::new(programs().join("kakou"))
        .current_dir(folder.path())
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _server = ChildGuard(server.unwrap());
    wait::until("the bulk service", LIMIT, || std::net::TcpStream::connect(&listen).ok());
    answers_in_a_crowd(&authority.ca, port, "/feed/part");
    for path in ["link", "folder/secret", "inside", "..%2fsecret", "%2e%2e/secret", "", "nowhere"] {
        assert_eq!(ask_by_tls(&authority.ca, port, &format!("/feed/{path}")), Some(404), "{path}");
    }
}
