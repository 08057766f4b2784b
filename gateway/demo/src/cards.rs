//! The sample cards and lists of the demo: issued at each start with fresh keys that only the demo trusts.

use crate::{everyday, rows, year2022};
use kakou_authority::issuer::Issuer;
use kakou_core::pass::kp1::{Draft, kind_of};
use kakou_core::pass::trust::{TrustFile, Usage};
use kakou_core::text::Text;
use serde_json::{Map, Value, json};

/// One card that can be presented.
pub struct Card {
    /// Its name.
    pub id: &'static str,
    /// The lane that it is for.
    pub lane: &'static str,
    /// The reader that it is held to, where the lane has several.
    pub on: Option<&'static str>,
    /// What it is.
    pub title: Text,
    /// What will happen.
    pub hint: Text,
    /// The text of its code.
    pub text: String,
}

/// Cards, trust list and lists.
pub struct Deck {
    /// Cards.
    pub cards: Vec<Card>,
    /// File name and JSON of each list.
    pub lists: Vec<(&'static str, Value)>,
}

const HOUR: i64 = 3600;

/// Lists that have what the tables of cards put onto them: file and name.
const EMPTY: [(&str, &str); 14] = [
    ("pass.json", "pass"),
    ("revocation.json", "revocation"),
    ("hold.json", "hold"),
    ("results.json", "results"),
    ("reports.json", "reports"),
    ("release.json", "release"),
    ("schedule.json", "schedule"),
    ("bookings.json", "bookings"),
    ("bags.json", "bags"),
    ("deliveries.json", "deliveries"),
    ("items.json", "items"),
    ("certificates.json", "certificates"),
    ("children.json", "children"),
    ("stages.json", "stages"),
];

fn facts(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => Map::new(),
    }
}

fn pass(issuer: &Issuer, kind: &str, from: i64, to: i64, fields: Value) -> Result<String, String> {
    let draft = Draft {
        kind: kind_of(kind).ok_or("no such kind")?,
        cti: Issuer::pass_id().map_err(|e| e.to_string())?,
        nbf: from,
        exp: to,
        facts: facts(fields),
    };
    issuer.issue(&draft).map_err(|e| e.to_string())
}

/// Makes everything, valid around `now_s`.
pub fn deal(now_s: i64) -> Result<Deck, String> {
    let issuer = |_: &str| -> Result<Issuer, String> {
        Issuer::from_pkcs8(&Issuer::generate().map_err(|e| e.to_string())?).map_err(|e| e.to_string())
    };
    let (school, transport, stranger) = (issuer("school")?, issuer("transport")?, issuer("stranger")?);
    let (from, to) = (now_s - HOUR, now_s + 30 * 24 * HOUR);
    let resident = |id: &str| pass(&school, "resident-card", from, to, json!({ "id": id }));
    let truck = |plate: &str, approvals: Value| {
        let fields = json!({ "plate": plate, "category": "emergency-supplies", "from": "211400", "to": "210100",
            "uses": 1, "crew": 2, "approvals": approvals });
        pass(&transport, "vehicle-pass", from, to, fields)
    };
    let card = |id, lane, zh: &str, en: &str, hint_zh: &str, hint_en: &str, text| Card {
        id,
        lane,
        on: None,
        title: Text::new(zh, en),
        hint: Text::new(hint_zh, hint_en),
        text,
    };
    let s = "school-1";
    let t = "truck-1";
    let n = "triage-1";
    let held_to = |on, card: Card| Card { on: Some(on), ..card };
    let ward = |on, id, zh: &str, en: &str, hint_zh: &str, hint_en: &str, text: &str| {
        held_to(on, card(id, "ward-1", zh, en, hint_zh, hint_en, text.to_owned()))
    };
    let more = vec![
        ward(
            "reader-in",
            "companion-in",
            "陪护 张芳，进",
            "Companion Zhang Fang, in",
            "开门",
            "the door opens",
            "C-0001",
        ),
        ward(
            "reader-in",
            "companion-second-in",
            "第二位陪护 李强，进",
            "A second companion, in",
            "等待：先让一位离开",
            "waits until one has left",
            "C-0002",
        ),
        ward(
            "reader-out",
            "companion-out",
            "陪护 张芳，出",
            "Companion Zhang Fang, out",
            "开门",
            "the door opens",
            "C-0001",
        ),
        ward(
            "reader-out",
            "inpatient-out",
            "住院病人 李四，出",
            "Inpatient Li Si, out",
            "等待护士",
            "waits for a nurse",
            "B-0012",
        ),
        ward("reader-in", "nurse-in", "护士，进", "A nurse, in", "开门", "the door opens", "W-0001"),
        card("buyer", "shop-1", "购药人", "A buyer", "填写登记", "a form is filled in", resident("R-0101")?),
        card(
            "worker-tested",
            "site-1",
            "工人 已检测",
            "Worker with a test",
            "登记后进场",
            "goes in after the form",
            resident("R-0101")?,
        ),
        card(
            "worker-untested",
            "site-1",
            "工人 无检测",
            "Worker without a test",
            "拒绝：先做核酸",
            "is denied: a test first",
            resident("R-0103")?,
        ),
        card(
            "worker-today",
            "site-in-1",
            "工人 今日已采样",
            "Worker who was sampled today",
            "测温后进场",
            "is measured and goes in",
            resident("R-0104")?,
        ),
        card(
            "worker-yesterday",
            "site-in-1",
            "工人 今日未采样",
            "Worker who was not sampled today",
            "等待：先采样",
            "waits: a sample first",
            resident("R-0105")?,
        ),
        card(
            "worker-leaves",
            "site-out-1",
            "工人 离场",
            "Worker who leaves",
            "登记原因和去向",
            "says why and where to",
            resident("R-0104")?,
        ),
        card(
            "car-ok",
            "car-1",
            "居民车 辽P·55555",
            "Resident car 辽P·55555",
            "录入车牌和人数，再逐人出示",
            "plate and number of people, then each of them",
            pass(
                &transport,
                "vehicle-pass",
                from,
                to,
                json!({ "plate": "辽P55555", "category": "resident-car", "from": "211400", "to": "211400", "uses": 0, "crew": 2 }),
            )?,
        ),
        card(
            "occupant-green",
            "car-1",
            "车上人员 绿码",
            "Somebody in the car, all in order",
            "下一位",
            "the next one",
            resident("R-0101")?,
        ),
        card(
            "occupant-away",
            "car-1",
            "车上人员 市外来，未报备",
            "Somebody from outside the city, not reported",
            "等待",
            "waits",
            resident("R-0102")?,
        ),
        card(
            "truck-sealed",
            "seal-1",
            "已贴封的车 辽P·12345",
            "Sealed truck 辽P·12345",
            "验封 LN0045678",
            "its seal LN0045678 is checked",
            "辽P12345".to_owned(),
        ),
        card(
            "truck-no-record",
            "seal-1",
            "无封条记录 辽P·99999",
            "Truck without a record",
            "等待",
            "waits",
            "辽P99999".to_owned(),
        ),
    ];
    let cards = vec![
        card("pupil-green", s, "学生 绿码", "Pupil, all in order", "通行", "goes in", resident("P-0001")?),
        card("pupil-green-2", s, "学生 绿码（二）", "Another pupil", "通行", "goes in", resident("P-0002")?),
        card("pupil-late", s, "检测超过48小时", "Test older than 48 h", "等待", "waits", resident("P-0003")?),
        card("pupil-yellow", s, "黄码", "Status yellow", "转复测", "is referred", resident("P-0004")?),
        card(
            "pupil-red",
            s,
            "红码",
            "Status red",
            "拒绝，改判需主管",
            "is denied; a supervisor must co-sign",
            resident("P-0005")?,
        ),
        card(
            "pupil-expired",
            s,
            "过期卡",
            "Expired card",
            "拒绝",
            "is denied",
            pass(&school, "resident-card", from - 9 * HOUR, now_s - HOUR, json!({ "id": "P-0001" }))?,
        ),
        card(
            "pupil-stranger",
            s,
            "未知签发者",
            "Unknown issuer",
            "等待：无法核实不等于无效",
            "waits: unknown is not invalid",
            pass(&stranger, "resident-card", from, to, json!({ "id": "P-0001" }))?,
        ),
        card(
            "pupil-as-truck",
            s,
            "用学生卡密钥签的车证",
            "Vehicle pass signed with the school's key",
            "拒绝",
            "is denied",
            pass(
                &school,
                "vehicle-pass",
                from,
                to,
                json!({ "plate": "辽P00001", "category": "resident-car", "from": "211400", "to": "211400", "uses": 0 }),
            )?,
        ),
        card(
            "truck-ok",
            t,
            "物资车 辽P·12345（已审批）",
            "Supplies truck 辽P·12345, approved",
            "贴封、拍照、放行",
            "is sealed, photographed, released",
            truck("辽P12345", json!(["GX", "JT"]))?,
        ),
        card(
            "truck-new",
            t,
            "物资车 辽P·67890（待审批）",
            "Supplies truck 辽P·67890, not yet approved",
            "现场审批",
            "needs an approval at the lane",
            truck("辽P67890", json!([]))?,
        ),
        card(
            "truck-route",
            t,
            "路线不符 辽P·24680",
            "Truck 辽P·24680 for another route",
            "等待",
            "waits",
            pass(
                &transport,
                "vehicle-pass",
                from,
                to,
                json!({ "plate": "辽P24680", "category": "emergency-supplies", "from": "220100", "to": "220200", "uses": 1, "crew": 2, "approvals": ["GX"] }),
            )?,
        ),
        card(
            "patient-green",
            n,
            "患者 绿码",
            "Patient, all in order",
            "门诊",
            "goes to the clinic",
            resident("R-0101")?,
        ),
        card(
            "patient-away",
            n,
            "患者 市外来院",
            "Patient from outside the city",
            "发热门诊",
            "goes to the fever clinic",
            resident("R-0102")?,
        ),
        card(
            "patient-no-phone",
            n,
            "无手机，登记卡号",
            "No phone, a card number",
            "门诊",
            "goes to the clinic",
            "R-0101".into(),
        ),
    ];
    let sign = |fields: Value| pass(&transport, "vehicle-pass", from, to, fields);
    let rows = year2022::ROWS.iter().chain(&everyday::ROWS).map(|row| row.card(sign));
    let rows: Vec<Card> = rows.collect::<Result<_, _>>()?;
    let cards: Vec<Card> = cards.into_iter().chain(more).chain(rows).collect();
    let entry = |name: &str, group: &str, colour: &str, age_h: i64| {
        json!({ "name": name, "group": group, "colour": colour, "test_result": "negative",
            "sampled_at_ms": (now_s - age_h * HOUR) * 1000, "reported_at_ms": (now_s - (age_h - 6) * HOUR) * 1000 })
    };
    let mut away = facts(entry("赵国强", "", "green", 20));
    away.insert("out_of_city".into(), json!(true));
    let status = json!({
        "P-0001": entry("张小明", "三年二班", "green", 20), "P-0002": entry("李晓红", "三年二班", "green", 30),
        "P-0003": entry("王磊", "四年一班", "green", 50), "P-0004": entry("刘洋", "五年三班", "yellow", 10),
        "P-0005": entry("陈静", "六年一班", "red", 10), "R-0101": entry("孙丽华", "", "green", 12), "R-0102": away,
        "C-0001": entry("张芳", "", "green", 10), "C-0002": entry("李强", "", "green", 10),
        "R-0104": { "name": "周建国", "colour": "green", "test_result": "negative", "sampled_at_ms": now_s * 1000 },
        "R-0105": entry("吴强", "", "green", 40),
        "R-0103": { "name": "马超", "colour": "green" },
    });
    let of_ward = |name: &str, role: &str, patient: &str| json!({ "name": name, "role": role, "patient": patient, "ward": "W3", "room": "12" });
    let roster = json!({
        "C-0001": of_ward("张芳", "companion", "B-0012"), "C-0002": of_ward("李强", "companion", "B-0012"),
        "R-0104": { "name": "周建国", "role": "worker" }, "R-0105": { "name": "吴强", "role": "worker" },
        "B-0012": of_ward("李四", "inpatient", "B-0012"), "W-0001": of_ward("周护士", "staff", ""),
    });
    let patients = json!({ "B-0012": { "name": "李四", "ward": "W3", "room": "12", "state": "admitted" } });
    let seals = json!({ "辽P12345": { "seals": ["LN0045678"], "from": "211400", "to": "210100", "sealed_at_ms": (now_s - 2 * HOUR) * 1000 } });
    let list = |name: &str, entries: Value| json!({ "name": name, "version": 1, "issued": now_s - 600, "entries": entries });
    let trust = TrustFile {
        name: "trust".into(),
        version: 1,
        issued: now_s - 600,
        keys: vec![
            school.entry("示例教育局", &[Usage::ResidentCard]),
            transport.entry("示例运管", &[Usage::VehiclePass]),
        ],
    };
    let trust = serde_json::to_value(trust).map_err(|e| e.to_string())?;
    let mut lists = vec![
        ("trust.json", trust),
        ("status.json", list("status", status)),
        ("roster.json", list("roster", roster)),
        ("patients.json", list("patients", patients)),
        ("seals.json", list("seals", seals)),
    ];
    for (file, name) in EMPTY {
        lists.push((file, list(name, json!({}))));
    }
    rows::add(&mut lists, year2022::entries(now_s));
    rows::add(&mut lists, everyday::entries(now_s));
    Ok(Deck { cards, lists })
}
