//! What commands print, and the codes they exit with.

#[test]
fn commands_say_what_they_are_documented_to_say() {
    trycmd::TestCases::new().case("tests/cmd/*.md");
}
