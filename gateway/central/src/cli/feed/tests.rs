//! Lists that are made.

use super::*;

#[test]
fn a_source_with_a_byte_order_mark_is_signed_without_it_and_its_faults_have_lines() {
    let folder = tempfile::tempdir().unwrap();
    let key = Issuer::from_pkcs8(&Issuer::generate().unwrap()).unwrap();
    let made = |name: &str, file: &str, text: &[u8]| {
        let from = folder.path().join(file);
        std::fs::write(&from, text).unwrap();
        let out = tempfile::tempdir().unwrap();
        make(&key, &source(name, &from), out.path(), None, &[], (None, None))?;
        let part = std::fs::read_dir(out.path().join("parts")).unwrap().next().unwrap().unwrap();
        Ok::<_, String>(String::from_utf8(std::fs::read(part.path()).unwrap()).unwrap())
    };
    // In whichever order a build of serde_json writes it.
    let line = json!({ "id": "a", "facts": {} }).to_string() + "\n";
    let made_of = |file: &str, text: &str| made("hold", file, text.as_bytes());
    assert_eq!(made_of("a.jsonl", &format!("\u{feff}{line}\r\n")), Ok(line.clone()));
    assert_eq!(made_of("a.json", "\u{feff}{\"a\":{}}"), Ok(line));
    let trust = r#"{"name":"trust","version":1,"issued":1,"keys":[]}"#;
    assert_eq!(made("trust", "trust.json", format!("\u{feff}{trust}").as_bytes()).as_deref(), Ok(trust));
    for (file, text, words) in [
        (
            "b.jsonl",
            &b"{\"id\":\"a\",\"facts\":{}}\nid;name\n"[..],
            "b.jsonl:2: column 1: found 'i', expected a JSON value",
        ),
        ("b.jsonl", b"{\"id\":\"a\",\"facts\":{}}\n{\"id\":\"\xd5\xc5\"}\n", "b.jsonl:2: not UTF-8"),
        ("b.json", b"\xff\xfe{\0", "UTF-16"),
        ("b.json", b"{\"A-1\":{},\"a-1\":{}}", "`a-1` is there twice, as `A-1`"),
    ] {
        let said = made("hold", file, text).unwrap_err();
        assert!(said.contains(words), "{said}");
    }
}

fn source<'a>(list: &'a str, from: &'a Path) -> Source<'a> {
    Source { list, from, id: None, zone: None, leave_out: &[] }
}

fn key() -> Issuer {
    Issuer::from_pkcs8(&Issuer::generate().unwrap()).unwrap()
}

#[test]
fn what_a_gateway_cannot_read_or_no_lane_understands_is_not_signed() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let made = |name: &str, file: &str, text: &str| {
        let from = folder.path().join(file);
        std::fs::write(&from, text).unwrap();
        make(&key(), &source(name, &from), &out, None, &[], (None, None))
    };
    let deep = format!("{{\"id\":\"a\",\"facts\":{{\"note\":{}1{}}}}}", "[".repeat(200), "]".repeat(200));
    for (name, file, text, wanted) in [
        (
            "hold",
            "a.jsonl",
            "{\"id\":\"a\",\"facts\":{}}\n{\"id\":\"b\",\"facts\":{\"note\":\"\\ud83d\"}}\n",
            "a.jsonl:2: ",
        ),
        ("hold", "a.jsonl", "{\"id\":\"a\",\"facts\":{\"until_ms\":1e999}}\n", "a.jsonl:1: "),
        ("hold", "a.jsonl", deep.as_str(), "a.jsonl:1: "),
        ("hold", "a.jsonl", "{\"id\":\"a\"}\n", "needs facts"),
        ("hold", "a.jsonl", "{\"id\":\"a\",\"facts\":{},\"extra\":1}\n", "extra"),
        ("hold", "a.json", "{\"a\":{\"note\":\"\\ud83d\"}}", "a.json"),
        ("status", "a.jsonl", "{\"id\":\"a\",\"facts\":{\"colour\":\"grean\"}}\n", "green, yellow, red"),
        (
            "status",
            "a.json",
            "{\"a\":{\"colour\":\"green\",\"sampled_at\":1795271400000}}",
            "`sampled_at_ms`",
        ),
        ("trust", "a.json", "{\"version\":3}", "a.json"),
    ] {
        let why = made(name, file, text).unwrap_err();
        assert!(why.contains(wanted), "{text}: {why}");
        assert!(!out.join(format!("{name}.feed")).exists(), "{text}");
    }
    made("hold", "a.jsonl", "{\"id\":\"a\",\"facts\":{\"note\":\"😀\",\"until_ms\":1795271400000}}\n")
        .unwrap();
}

#[test]
fn an_entry_of_no_list_or_with_facts_that_no_lane_understands_is_not_signed() {
    let made = |name: &str, facts: Option<&str>| entry(&key(), name.into(), "R-1".into(), facts, None);
    assert!(made("holdd", None).unwrap_err().contains("there are: status"));
    assert!(made("trust", None).is_err(), "keys do not come one by one");
    assert!(made("hold", Some("{\"until\":1795271400000}")).unwrap_err().contains("`until_ms`"));
    assert!(made("hold", Some("{\"note\":\"\\ud83d\"}")).unwrap_err().contains("--facts"));
    assert!(made("hold", Some("{}")).unwrap().starts_with("KE1:"));
    assert!(made("hold", None).unwrap().starts_with("KE1:"), "to take it away");
}

/// The lines that a source becomes, and what is said of it.
fn read(list: &str, file: &str, bytes: &[u8], leave_out: &[&str]) -> Result<(Vec<Value>, String), String> {
    let folder = tempfile::tempdir().unwrap();
    let from = folder.path().join(file);
    std::fs::write(&from, bytes).unwrap();
    let leave_out: Vec<String> = leave_out.iter().map(|&one| one.to_owned()).collect();
    let zone = columns::zone("+08:00").ok();
    let source = Source { list, from: &from, id: None, zone, leave_out: &leave_out };
    let mut body = Vec::new();
    let told = source.copy(&mut |bytes| {
        body.extend_from_slice(bytes);
        Ok(())
    })?;
    let lines = String::from_utf8(body).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Ok((lines, told.join("\n")))
}

#[test]
fn the_table_of_an_office_becomes_the_list_in_the_order_of_ids_and_what_was_changed_is_said() {
    let text = "序号;学号;姓名;班级;健康码;检测结果;采样时间;家长电话\r\n\
                1;R-0002;李四;三（2）班;黄码;;;13900000000\r\n\
                2;R-0001;张三;三（1）班;绿码;阴性;2022/5/24 7:30;13900000001\r\n";
    let wanted = [
        json!({ "id": "R-0001", "facts": { "name": "张三", "group": "三（1）班", "colour": "green",
            "test_result": "negative", "sampled_at_ms": 1_653_348_600_000_i64 } }),
        json!({ "id": "R-0002", "facts": { "name": "李四", "group": "三（2）班", "colour": "yellow" } }),
    ];
    let gb18030 = encoding_rs::GB18030.encode(text).0.into_owned();
    for bytes in
        [text.as_bytes(), format!("\u{feff}{text}").as_bytes(), &gb18030, text.replace(';', "\t").as_bytes()]
    {
        let (lines, told) = read("status", "residents.csv", bytes, &["序号", "家长电话"]).unwrap();
        assert_eq!(lines, wanted);
        for said in [
            "2 entries",
            "学号 → id",
            "采样时间 → sampled_at_ms",
            "序号, 家长电话",
            "colour 绿码 → green (1)",
            "检测结果 in 1 rows (first in line 2)",
            "+08",
            "sorted by id",
        ] {
            assert!(told.contains(said), "{said}: {told}");
        }
    }
    let plates = "车牌,有效期至,使用次数\n辽P12345,2022-05-24,单次\n";
    let (lines, _) = read("pass", "trucks.csv", plates.as_bytes(), &[]).unwrap();
    let end = 1_653_321_600_000_i64 + 86_400_000;
    assert_eq!(
        lines,
        [json!({ "id": "辽P12345", "facts": { "plate": "辽P12345", "exp_ms": end, "uses": 1 } })]
    );
    let (lines, _) = read("hold", "hold.csv", "id\nR-1\n".as_bytes(), &[]).unwrap();
    assert_eq!(lines, [json!({ "id": "R-1", "facts": {} })]);
}

#[test]
fn what_a_table_says_and_no_lane_understands_is_refused_with_its_line_and_its_column() {
    for (list, text, words) in [
        ("status", "学号,健康码\nR-1,grean\n", "a.csv, line 2, 健康码: `grean` is not one of green (绿码)"),
        ("status", "id,colour,sampled at\nR-1,green,5/24/2022\n", "a.csv, line 2, sampled at: `5/24/2022`"),
        ("status", "id,colur\nR-1,green\n", "is `colour` meant?"),
        ("status", "id,colour,电话\nR-1,green,1\n", "`电话` is no column for this; there are: id, name"),
        ("status", "id,colour,电话\nR-1,green,1\n", "--leave-out 电话"),
        ("status", "学号\nR-1\n", "no column says anything"),
        ("status", "姓名,健康码\n张三,绿码\n", "no column is the id"),
        ("status", "学号,身份证号,健康码\nR-1,2,绿码\n", "`学号` and `身份证号` are both `id`"),
        (
            "status",
            "id,colour\nR-1,green\n\n r-1,red\n",
            "line 4: `r-1` is there twice, as `R-1` (first in line 2)",
        ),
        ("status", "id,colour\n,green\n", "line 2, id: the id is missing"),
        ("pass", "车牌,次数\n辽P12345,2\n", "line 2, 次数: `2` is not once (1, 单次)"),
        ("policy", "id,toml\na,b\n", "profiles come as JSON"),
    ] {
        let why = read(list, "a.csv", text.as_bytes(), &[]).unwrap_err();
        assert!(why.contains(words), "{text}: {why}");
    }
    assert!(read("status", "a.XLSX", b"PK\x03\x04", &[]).unwrap_err().contains("CSV UTF-8"));
    let many = format!("id,colour\n{}", (0..20).map(|n| format!("R-{n},blue\n")).collect::<String>());
    let why = read("status", "a.csv", many.as_bytes(), &[]).unwrap_err();
    assert!(why.lines().count() == 9 && why.ends_with("and 12 more"), "{why}");
}

#[test]
fn lines_that_are_not_in_the_order_of_ids_are_sorted_and_facts_that_no_lane_reads_are_named() {
    let text = "{\"id\":\"b\",\"facts\":{\"colour\":\"red\"}}\n{\"id\":\"a\",\"facts\":{\"colour\":\"green\",\"school\":3}}\n";
    let (lines, told) = read("status", "a.jsonl", text.as_bytes(), &[]).unwrap();
    assert_eq!(lines.iter().map(|line| &line["id"]).collect::<Vec<_>>(), ["a", "b"]);
    assert!(told.contains("school (1)") && told.contains("sorted"), "{told}");
    let twice = "{\"id\":\"b\",\"facts\":{}}\n{\"id\":\"a\",\"facts\":{}}\n{\"id\":\"B\",\"facts\":{}}\n";
    let why = read("status", "a.jsonl", twice.as_bytes(), &[]).unwrap_err();
    assert!(why.contains("a.jsonl:3: `B` is there twice, as `B` (first in line 1)"), "{why}");
}

#[test]
fn the_example_that_ships_is_read_as_its_page_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (from, page) =
        (folder.join("residents.csv"), std::fs::read_to_string(folder.join("README.md")).unwrap());
    assert!(page.contains(&std::fs::read_to_string(&from).unwrap()), "the page shows another table");
    let leave_out = ["家长电话".to_owned()];
    let zone = columns::zone("+08:00").ok();
    let source = Source { list: "status", from: &from, id: None, zone, leave_out: &leave_out };
    let out = tempfile::tempdir().unwrap();
    let said = make(&key(), &source, out.path(), None, &[], (None, None)).unwrap();
    let shown = said
        .replace(&out.path().display().to_string(), "lists")
        .replace(&from.display().to_string(), "residents.csv");
    assert!(page.contains(&shown), "the page does not say:\n{shown}");
    for fact in kakou_core::entry::all().filter(|fact| fact.list != "policy") {
        let name = fact.name.strip_suffix("_ms").unwrap_or(fact.name);
        let rows = page.lines().filter(|line| line.starts_with(&format!("| `{}` |", fact.list)));
        let english = match name {
            "nbf" => "valid from",
            "exp" => "valid until",
            name => name,
        };
        assert!(
            fact.list == "release" || rows.into_iter().any(|row| row.contains(&format!("`{english}`"))),
            "{}: {name}",
            fact.list
        );
    }
}

#[test]
fn the_published_form_of_each_list_is_that_of_the_table() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/lists");
    for list in known() {
        let there = std::fs::read_to_string(folder.join(format!("{}.json", list.name))).unwrap_or_default();
        let read = |text: &str| serde_json::from_str::<Value>(text).ok();
        assert_eq!(
            read(&there),
            read(&form_text(list)),
            "{}: kakou feed forms --out gateway/docs/lists",
            list.name
        );
    }
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), known().count(), "a form without a list");
}
