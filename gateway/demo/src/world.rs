//! The demo's surroundings: simulated devices, the folder of the daemon, and the controls of the
//! demo page.

use crate::cards::{Card, Deck, deal};
use crate::lanes::{self, DemoLane};
use crate::run::DemoError;
use crate::sims::{LaneSims, driver};
use kakou_central::qr;
use kakou_gateway::http::auth::hash_pin;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// Officers: id, name, role, PIN.
pub const OFFICERS: [(&str, &str, &str, &str); 6] = [
    ("li", "李敏", "guard", "2468"),
    ("chen", "陈护士", "nurse", "2468"),
    ("zhao", "赵运管", "transport", "2468"),
    ("wang", "王主管", "supervisor", "1357"),
    ("he", "何收运", "collector", "2468"),
    ("fang", "方疾控", "cdc", "2468"),
];

/// The pictures that a camera of the demo can see.
const PICTURES: [(&str, &[u8]); 5] = [
    ("plate", include_bytes!("../photos/plate.jpg")),
    ("closeup", include_bytes!("../photos/closeup.jpg")),
    ("overall", include_bytes!("../photos/overall.jpg")),
    ("dark", include_bytes!("../photos/dark.jpg")),
    ("blurred", include_bytes!("../photos/blurred.jpg")),
];

/// What each photograph of a profile shows, by its role.
pub const ROLES: [(&str, &str); 11] = [
    ("plate", "plate"),
    ("closeup", "closeup"),
    ("new-closeup", "closeup"),
    ("overall", "overall"),
    ("whole", "overall"),
    ("front", "plate"),
    ("rear", "overall"),
    ("body", "overall"),
    ("bag", "closeup"),
    ("cover-rear", "overall"),
    ("cover-top", "overall"),
];

/// Everything around the daemon.
pub struct World {
    folder: PathBuf,
    broker: u16,
    /// The tables of officers: a hash of a PIN takes its time.
    officers: String,
    cards: Vec<Card>,
    sims: Mutex<BTreeMap<&'static str, Arc<LaneSims>>>,
    /// The lanes that are to run, in the order of the page.
    wanted: watch::Sender<Vec<&'static str>>,
    seen: Mutex<String>,
    plug: watch::Sender<bool>,
}

impl World {
    /// Makes lists and pictures in a folder, for these lanes at first.
    pub fn make(
        folder: &Path,
        broker: u16,
        lanes: Vec<&'static str>,
        plug: watch::Sender<bool>,
    ) -> Result<Self, DemoError> {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs().cast_signed());
        let Deck { cards, lists } = deal(now_s).map_err(DemoError::Cards)?;
        for part in ["data/lists", "ports", "camera"] {
            fs::create_dir_all(folder.join(part))?;
        }
        for (name, list) in lists {
            fs::write(folder.join("data/lists").join(name), list.to_string())?;
        }
        let world = Self {
            folder: folder.to_path_buf(),
            broker,
            officers: officers()?,
            cards,
            sims: Mutex::default(),
            wanted: watch::Sender::new(lanes),
            seen: Mutex::new("good".into()),
            plug,
        };
        world.look("good")?;
        Ok(world)
    }

    /// Which lanes are to run.
    pub fn wanted(&self) -> watch::Receiver<Vec<&'static str>> {
        self.wanted.subscribe()
    }

    /// Makes the devices of the lanes that are to run, takes those of the others away, and writes the configuration; gives
    /// its file.
    pub fn configure(&self, port: u16) -> Result<PathBuf, DemoError> {
        let wanted = self.wanted.borrow().clone();
        let mut sims = self.sims.lock().unwrap_or_else(PoisonError::into_inner);
        sims.retain(|id, _| wanted.contains(id));
        let running: Vec<&DemoLane> = wanted.iter().filter_map(|id| lanes::find(id)).collect();
        for lane in &running {
            if !sims.contains_key(lane.id) {
                sims.insert(lane.id, Arc::new(LaneSims::make(lane, &self.folder.join("ports"))?));
            }
        }
        let file = self.folder.join("kakou.toml");
        fs::write(&file, configuration(self.broker, port, &self.officers, &running))?;
        Ok(file)
    }

    /// What every camera sees from now on.
    fn look(&self, look: &str) -> std::io::Result<()> {
        let cameras = self.folder.join("camera");
        for (role, shows) in ROLES {
            let name = if look == "good" { shows } else { look };
            let (_, bytes) = PICTURES.iter().find(|(n, _)| *n == name).unwrap_or(&PICTURES[0]);
            let fresh = cameras.join("new");
            fs::write(&fresh, bytes)?;
            fs::rename(&fresh, cameras.join(format!("{role}.jpg")))?;
        }
        Ok(())
    }

    fn sims(&self, lane: &str) -> Result<Arc<LaneSims>, String> {
        let sims = self.sims.lock().unwrap_or_else(PoisonError::into_inner);
        sims.get(lane).cloned().ok_or_else(|| match lanes::find(lane) {
            Some(_) => format!("the lane `{lane}` is not switched on: choose it on the page of the demo"),
            None => format!("there is no lane `{lane}` in the demo"),
        })
    }
}

/// The tables of officers.
pub fn officers() -> Result<String, DemoError> {
    let mut out = String::new();
    for (id, name, role, pin) in OFFICERS {
        let hash = hash_pin(pin).map_err(DemoError::Cards)?;
        out.push_str(&format!(
            "\n[[officer]]\nid = \"{id}\"\nname = \"{name}\"\nrole = \"{role}\"\npin = '{hash}'\n"
        ));
    }
    Ok(out)
}

/// The text of the configuration.
pub fn configuration(broker: u16, port: u16, officers: &str, lanes: &[&DemoLane]) -> String {
    let mut out = format!(
        "[gateway]\nsite = \"demo\"\nid = \"gw-1\"\nregion = \"211400\"\nutc_offset_minutes = 480\ndata = \"data\"\n\n\
         [clock]\nsource = \"system\"\n\n[http]\nlisten = \"127.0.0.1:{port}\"\n\n\
         [upstream]\nbroker = \"mqtt://127.0.0.1:{broker}\"\n\n[retention]\nmax_mb = 256\nreserve_mb = 1\n{officers}"
    );
    for DemoLane { id, profile, devices, .. } in lanes {
        let mut roles = Vec::new();
        for role in *devices {
            let driver = driver(role);
            let path =
                if driver == "still-camera" { "camera".to_owned() } else { format!("ports/{id}-{role}") };
            let grade = if *role == "thermometer" { ", body_grade = true" } else { "" };
            out.push_str(&format!(
                "\n[[device]]\nid = \"{id}-{role}\"\ndriver = \"{driver}\"\nport = {{ path = \"{path}\"{grade} }}\n"
            ));
            roles.push(format!("{role} = \"{id}-{role}\""));
        }
        let roles = roles.join(", ");
        out.push_str(&format!(
            "\n[[lane]]\nid = \"{id}\"\nprofile = \"{profile}\"\ndevices = {{ {roles} }}\n"
        ));
    }
    out
}

impl World {
    /// What the page shows.
    pub fn describe(&self) -> Value {
        let sims = self.sims.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cards = self.cards.iter().filter(|card| sims.contains_key(card.lane)).map(|c| {
            json!({ "id": c.id, "lane": c.lane, "title": c.title, "hint": c.hint, "text": c.text, "qr_svg": qr::svg(&c.text, &[]).unwrap_or_default() })
        });
        let officers =
            OFFICERS.iter().map(|(id, _, role, pin)| json!({ "id": id, "pin": pin, "role": role }));
        let of = |what: fn(&LaneSims) -> Option<i64>| -> BTreeMap<&str, i64> {
            sims.iter().filter_map(|(id, lane)| Some((*id, what(lane)?))).collect()
        };
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cameras = sims.iter().filter(|(_, lane)| lane.camera);
        let looks: BTreeMap<&str, &str> = cameras.map(|(id, _)| (*id, seen.as_str())).collect();
        let packs = lanes::packs().iter().map(|pack| {
            let lanes = pack.lanes.iter().map(|(lane, title)| json!({ "id": lane.id, "title": title }));
            json!({ "id": pack.id, "title": pack.title, "lanes": lanes.collect::<Vec<_>>() })
        });
        let order = self.wanted.borrow().clone();
        json!({
            "cards": cards.collect::<Vec<_>>(), "packs": packs.collect::<Vec<_>>(),
            "lanes": order.into_iter().filter(|id| sims.contains_key(id)).collect::<Vec<_>>(),
            "network": *self.plug.borrow(), "temperatures": of(|lane| lane.mdeg().map(i64::from)),
            "weights": of(LaneSims::grams), "looks": looks, "officers": officers.collect::<Vec<_>>(),
        })
    }

    /// Switches the lanes of a pack on, and all others off: the gateway starts anew with them.
    pub fn use_pack(&self, pack: &str) -> Result<(), String> {
        let first = lanes::first_of(pack).ok_or_else(|| {
            let ids: Vec<&str> = lanes::packs().iter().map(|pack| pack.id).collect();
            format!("`pack` is one of {}", ids.join(", "))
        })?;
        self.want(|wanted| *wanted = first);
        Ok(())
    }

    /// Switches a lane on beside those of its pack: the gateway starts anew with it.
    pub fn use_lane(&self, lane: &str) -> Result<(), String> {
        let lane = lanes::find(lane).ok_or_else(|| format!("there is no lane `{lane}` in the demo"))?;
        let mates = lanes::packs().iter().find(|pack| pack.lanes.iter().any(|(one, _)| one.id == lane.id));
        let is_mate = |id: &str| mates.is_some_and(|pack| pack.lanes.iter().any(|(one, _)| one.id == id));
        let first = mates.and_then(|pack| lanes::first_of(pack.id)).unwrap_or_default();
        self.want(|wanted| {
            wanted.retain(|id| is_mate(id));
            if wanted.is_empty() {
                *wanted = first;
            }
            if !wanted.contains(&lane.id) {
                wanted.push(lane.id);
            }
        });
        Ok(())
    }

    fn want(&self, change: impl FnOnce(&mut Vec<&'static str>)) {
        self.wanted.send_if_modified(|wanted| {
            let before = wanted.clone();
            change(wanted);
            *wanted != before
        });
    }

    /// Presents a card to a lane's scanner.
    pub fn present(&self, lane: &str, card: &str) -> Result<(), String> {
        let known = self.cards.iter().find(|c| c.id == card);
        let card = known.ok_or_else(|| format!("there is no card `{card}`"))?;
        self.sims(lane)?.scan(card.on, &card.text)
    }

    /// Sets what stands before a lane's thermometer.
    pub fn temperature(&self, lane: &str, mdeg: i32) -> Result<(), String> {
        if !(10_000..=60_000).contains(&mdeg) {
            return Err("between 10000 and 60000 thousandths of a degree".into());
        }
        self.sims(lane)?.set_mdeg(mdeg)
    }

    /// Sets what lies on a lane's scale.
    pub fn weight(&self, lane: &str, grams: i64) -> Result<(), String> {
        if !(0..=100_000).contains(&grams) {
            return Err("between 0 and 100000 grams".into());
        }
        self.sims(lane)?.set_grams(grams)
    }

    /// Pulls or plugs the network.
    pub fn network(&self, up: bool) {
        self.plug.send_replace(up);
    }

    /// Sets what a lane's camera sees.
    pub fn camera(&self, lane: &str, look: &str) -> Result<(), String> {
        self.sims(lane)?;
        if !["good", "dark", "blurred"].contains(&look) {
            return Err("`look` is good, dark or blurred".into());
        }
        self.look(look).map_err(|e| e.to_string())?;
        look.clone_into(&mut *self.seen.lock().map_err(|e| e.to_string())?);
        Ok(())
    }
}
