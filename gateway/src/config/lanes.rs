//! What lanes of a gateway have in common: where they stand, and the registers that several of them keep.

use kakou_core::profile::Profile;

/// Whether screens and events can name a place so.
pub(super) fn is_place(text: &str) -> bool {
    (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

/// The lanes of a gateway keep a register in one way; who holds what, and how many, each says for itself.
pub(super) fn agree(before: &[Profile], profile: &Profile) -> Result<(), String> {
    for register in &profile.registers {
        let differs = |other: &Profile| {
            let field = register.differs(other.register(&register.name)?)?;
            Some((other.id.clone(), field))
        };
        if let Some((other, field)) = before.iter().find_map(differs) {
            return Err(format!(
                "register `{}` of profile `{}` has another `{field}` than in profile `{other}`: all lanes of a gateway \
                 keep it in one way",
                register.name, profile.id
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_core::profile::read;

    fn profile(id: &str, fields: &str) -> Profile {
        let text = format!(
            "id = \"{id}\"\ntitle = {{ zh = \"a\", en = \"a\" }}\ndirection = \"in\"\nfail_mode = \"HOLD\"\n\
             [[register]]\nname = \"inside\"\nkey = \"lane.place\"\nholder = \"pass.subject\"\n{fields}\n\
             [[step]]\nkind = \"scan\"\naccepts = [\"opaque\"]\n[[step]]\nkind = \"decide\"\n"
        );
        read("x.toml", &text).unwrap()
    }

    #[test]
    fn lanes_of_a_gateway_keep_a_register_in_one_way_and_may_ask_it_in_several() {
        let first = [profile("a", "keep = \"2d\"")];
        let more = "keep = \"48h\"\nlimit = 500\nover = \"Q_FULL\"\nalarm = { after = \"6h\", event = \"stay_overdue\" }";
        assert_eq!(agree(&first, &profile("b", more)), Ok(()));
        for (fields, field) in [
            ("keep = \"3d\"", "keep"),
            ("keep = \"2d\"\nscope = \"lane\"", "scope"),
            ("keep = \"2d\"\nexpires = true", "expires"),
        ] {
            let why = agree(&first, &profile("b", fields)).unwrap_err();
            assert!(
                why.contains(&format!("register `inside` of profile `b` has another `{field}`")),
                "{why}"
            );
        }
    }
}
