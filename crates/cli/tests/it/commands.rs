//! What commands print, and the codes they exit with.

#[test]
fn commands_print_what_is_documented() {
    trycmd::TestCases::new().case("tests/cmd/*.md");
}
