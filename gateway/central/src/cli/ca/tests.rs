//! The command of the authority.

use super::*;

#[test]
fn the_first_template_makes_no_code_until_its_places_are_filled_in() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("ca");
    let init =
        Command::Init { dir: dir.clone(), name: "Fleet".into(), broker: "mqtts://b.example:8883".into() };
    answer(init).unwrap();
    std::fs::write(dir.join("fleet.json"), r#"{"name":"fleet","version":1,"issued":0,"keys":[]}"#).unwrap();
    let coded = |plain: bool| {
        let (site, gateway) = (SiteId::new("s").unwrap(), GatewayId::new("g").unwrap());
        answer(Command::Code {
            dir: dir.clone(),
            url: "https://enrol.example:8443".into(),
            site,
            gateway,
            template: "default".into(),
            values: Vec::new(),
            minutes: 120,
            ask: false,
            replaces: false,
            svg: None,
            png: None,
            text: plain,
        })
    };
    let code = || coded(true);
    let file = dir.join("templates/default.toml");
    for (place, port) in [("WHERE-IT-IS-PLUGGED-IN", "one"), ("WHERE-THE-RELAY-IS", "two")] {
        let why = code().unwrap_err();
        assert!(why.contains("default.toml:") && why.contains(place), "{why}");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace(place, port)).unwrap();
    }
    code().unwrap();
    code().unwrap();
    let listed = register::list(&dir).unwrap();
    let lines: Vec<&str> = listed.lines().filter(|l| l.starts_with("code ")).collect();
    let ids: Vec<&str> = lines.iter().filter_map(|l| l.split_whitespace().nth(1)).collect();
    assert!(ids.len() == 2 && ids[0] != ids[1], "{listed}");
    assert!(lines.iter().all(|l| l.contains("open, made 0 min ago, until 20")), "{listed}");
    // Whoever hands out the code hears what the gate will lack.
    let said = coded(false).unwrap();
    assert!(said.contains("nobody can sign in at a desk") && said.contains("kakou ca acl"), "{said}");
    let text = std::fs::read_to_string(&file).unwrap();
    let officer = text.lines().map(|line| match line.strip_prefix('#') {
        Some(rest)
            if ["[[officer", "id = ", "name = ", "role = ", "pin = "].iter().any(|w| rest.starts_with(w)) =>
        {
            rest
        }
        Some(_) | None => line,
    });
    let pin = kakou_gateway::http::auth::hash_pin("2468").unwrap();
    let officer = officer.collect::<Vec<_>>().join("\n").replace("$argon2id$…", &pin);
    std::fs::write(&file, officer).unwrap();
    assert!(!coded(false).unwrap().contains("nobody can sign in"));
    answer(Command::Cancel { dir: dir.clone(), id: ids[0].into() }).unwrap();
    assert!(register::list(&dir).unwrap().contains(&format!("code {}  s/g: cancelled", ids[0])));
}

#[test]
fn a_server_is_not_called_as_a_gateway() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("ca");
    Authority::make(&dir, "Fleet").unwrap();
    let server = |name: &str, hosts: &[&str]| {
        let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        answer(Command::Server { dir: dir.clone(), name: name.into(), hosts })
    };
    assert!(server("mqtt.lan", &["mqtt.lan"]).unwrap_err().contains("SITE.GATEWAY"));
    server("mqtt.example.org", &["mqtt.example.org"]).unwrap();
    server("school-3.gw-9", &[]).unwrap();
    assert_eq!(register::plain(&dir).as_deref(), Ok("school-3/gw-9"), "a box that is configured by hand");
}

#[test]
fn root_writes_nothing_into_the_folder_of_another_user() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("ca");
    Authority::make(&dir, "Fleet").unwrap();
    assert!(office(&dir).is_ok());
    // Only root can give a folder away, and only root is told.
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&dir, Some(65_534), None).unwrap();
        assert!(office(&dir).err().unwrap().contains("runuser"));
        assert!(register::plain(&dir).is_ok(), "it may look");
    }
}
