//! All codes. A new one goes to the end of its area, with a section in `docs/reference/errors.md` and a line in
//! `tests/golden/codes.txt`.

use super::{Code, Entry};

macro_rules! codes {
    ($($name:ident = $id:literal, $title:literal;)+) => {
        $(
            #[doc = concat!("`", $id, "`: ", $title, ".")]
            pub const $name: Code = Code(&Entry { id: $id, name: stringify!($name), title: $title });
        )+

        pub(super) const ALL: &[Code] = &[$($name),+];
    };
}

codes! {
    // 01: the definition of a flow.
    NO_STEP = "FF0101", "the flow has no step";
    BAD_FUNCTION_NAME = "FF0102", "a step names a function that cannot exist";
    SET_TWICE = "FF0103", "a handler or the state manager is set twice";
    BAD_URL = "FF0104", "a callback's URL cannot be used";
    CREDENTIALS_IN_URL = "FF0105", "a callback's URL holds credentials";
    BAD_HEADER_NAME = "FF0106", "a step sends a header whose name is not valid";
    BAD_HEADER_VALUE = "FF0107", "a step sends a header whose value is not valid";
    OPTION_AS_HEADER = "FF0108", "an option of a step is written as a header";
    ZERO_TIMEOUT = "FF0109", "a step has a timeout of zero";

    // 05: state.
    STATE_UNREACHABLE = "FF0501", "the state manager cannot be reached";
    STATE_REFUSED = "FF0502", "the state manager refuses a request";
    STATE_UNSUPPORTED = "FF0503", "the state manager cannot do what is asked";
}
