//! Lane profiles for tests: as small as the test allows.

/// A lane that scans, takes further steps, verifies, decides and, if asked, opens its barrier.
pub fn lane(id: &str, accepts: &[&str], lists: &[&str], steps: &str, barrier: bool) -> String {
    let mut out = format!(
        "id = \"{id}\"\ntitle = {{ zh = \"试\", en = \"Test\" }}\ndirection = \"in\"\nfail_mode = \"HOLD\"\n\
         same_read_s = 0\nsame_result_s = 0\n[[step]]\nkind = \"scan\"\naccepts = {accepts:?}\n{steps}\n\
         [[step]]\nkind = \"verify\"\nlists = {lists:?}\n[[step]]\nkind = \"decide\"\n"
    );
    if barrier {
        out.push_str("[[step]]\nkind = \"actuate\"\ndevice = \"barrier\"\n");
    }
    out
}

/// A step that takes one photograph.
pub const PHOTO_STEP: &str = "[[step]]\nkind = \"photo\"\ndevice = \"camera\"\nphotos = [{ value = \"closeup\", zh = \"特写\", en = \"Close-up\" }]";
