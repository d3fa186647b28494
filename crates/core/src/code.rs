//! The codes of errors, such as `FF0102`.
//!
//! Every error that a user can meet has a code. It stays the same when the wording changes, so you can search for it.
//! `docs/reference/errors.md` has a section about each code, and `faasflow explain FF0102` prints that section.
//!
//! The first two digits are the area, and the last two count within it. A code is never reused for another error, and
//! an error never changes its code. A golden file of the tests enforces this.

use std::fmt;

/// The code of an error.
///
/// ```
/// use faasflow_core::{Flow, code};
///
/// let error = Flow::builder().build().unwrap_err();
/// assert_eq!(error.code(), code::NO_STEP);
/// assert_eq!(error.code().as_str(), "FF0101");
/// ```
#[derive(Clone, Copy)]
pub struct Code(&'static Entry);

struct Entry {
    id: &'static str,
    name: &'static str,
    title: &'static str,
    retired: bool,
}

impl Code {
    /// The code as it is printed, such as `FF0102`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0.id
    }

    /// The name of its constant in this module, such as `BAD_FUNCTION_NAME`.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.0.name
    }

    /// A general description of the error, without a capital or a full stop. It is the heading of its section in the
    /// reference.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.0.title
    }

    /// Whether no error has this code any longer. A retired code keeps its place in the table and its section in the
    /// reference, because people still search for it.
    #[must_use]
    pub fn is_retired(self) -> bool {
        self.0.retired
    }

    /// All codes, in order.
    #[must_use]
    pub fn all() -> &'static [Code] {
        ALL
    }

    /// Finds a code by its text. The printed form, such as `error[FF0101]:`, is accepted too. Case does not matter, and
    /// the letters may be left out.
    ///
    /// ```
    /// use faasflow_core::code::{self, Code};
    ///
    /// assert_eq!(Code::find("ff0101"), Some(code::NO_STEP));
    /// assert_eq!(Code::find("0101"), Some(code::NO_STEP));
    /// assert_eq!(Code::find("error[FF0101]:"), Some(code::NO_STEP));
    /// assert_eq!(Code::find("FF0000"), None);
    /// ```
    #[must_use]
    pub fn find(text: &str) -> Option<Code> {
        let text = text.trim().trim_start_matches("error").trim_matches(['[', ']', ':']);
        let digits = match text {
            text if text.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("ff")) => &text[2..],
            text => text,
        };
        Code::all().iter().copied().find(|code| code.as_str()[2..] == *digits)
    }
}

impl PartialEq for Code {
    fn eq(&self, other: &Code) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Code {}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

// All codes. A new code goes to the end of its area, with a section in `docs/reference/errors.md` and a line in
// `tests/golden/codes.txt`. A code that no error uses any longer stays, and is marked as retired:
// `NAME = "FF0199", "its title", retired;`.

macro_rules! codes {
    ($($name:ident = $id:literal, $title:literal $(, $retired:ident)?;)+) => {
        $(
            #[doc = concat!("`", $id, "`: ", $title, ".")]
            pub const $name: Code = Code(&Entry { id: $id, name: stringify!($name), title: $title, retired: !concat!($(stringify!($retired))?).is_empty() });
        )+

        const ALL: &[Code] = &[$($name),+];
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
    BAD_BRANCH_NAME = "FF0110", "a branch has no name, or the name of another branch";
    UNKNOWN_BRANCH = "FF0111", "a graph has no branch of this name";
    CYCLE = "FF0112", "branches of a graph wait for each other";
    NO_BRANCH = "FF0113", "a graph or a choice has no branch";
    NOT_IN_A_BRANCH = "FF0114", "a branch sets what only a whole flow can have";
    ZERO_AT_MOST = "FF0115", "a for-each runs no item at a time";
    BAD_COMPLETE = "FF0116", "a graph or a for-each cannot be complete";
    ZERO_TIME = "FF0117", "a branch or an item has no time";
    TOO_DEEP = "FF0118", "flows are nested too deeply";
    SECRET_POINTER = "FF0119", "a secret field has no JSON pointer";

    // 02: settings, and the start of a flow.
    NO_NAME = "FF0201", "the flow does not know its own name";
    BAD_NAME = "FF0202", "the flow has a name that no function can have";
    BAD_GATEWAY = "FF0203", "the address of the gateway cannot be read";
    BAD_SWITCH = "FF0204", "a setting is neither true nor false";
    BAD_DURATION = "FF0205", "a setting is not a time that can be used";
    BAD_SIZE = "FF0206", "a setting is not a size that can be used";
    BAD_COUNT = "FF0207", "a setting is not a number that can be used";
    BAD_PORT = "FF0208", "a setting is not a port";
    BAD_METHOD = "FF0209", "a setting is not an HTTP method";
    BAD_LOG_FORMAT = "FF0210", "the format of the log is not known";
    BAD_LOG_FILTER = "FF0211", "the filter of log lines cannot be read";
    BAD_TRACE_SERVER = "FF0212", "the address of the trace server cannot be read";
    BAD_SAMPLER = "FF0213", "the choice of requests to trace cannot be read";
    BAD_TRACE_OPTION = "FF0214", "a variable of OpenTelemetry cannot be read";
    VERIFY_WITHOUT_SIGNING = "FF0215", "`verify_request` is on, but signing is off";
    KEY_UNREADABLE = "FF0216", "the key for signing cannot be read";
    KEY_EMPTY = "FF0217", "the secret for signing holds no key";
    CANNOT_LISTEN = "FF0218", "the flow cannot listen on its address";
    NOWHERE_TO_STORE = "FF0219", "payloads should be stored, but there is no state manager";
    STATE_NOT_SHARED = "FF0220", "the state manager is not shared between instances";
    TWO_STATE_MANAGERS = "FF0221", "definition and settings name different state managers";
    AUTHORITIES_UNREADABLE = "FF0222", "the file of certificates cannot be read";
    AUTHORITIES_UNUSABLE = "FF0223", "the certificates cannot be used";
    NO_TRACES = "FF0224", "traces cannot be exported";
    UNKNOWN_ARGUMENT = "FF0225", "a flow function was given an unknown argument";
    UNHEALTHY = "FF0226", "the flow function is not healthy";
    NO_SERVER = "FF0227", "the operating system refuses what the server needs";
    NO_SHARED_STORE = "FF0228", "branches have no shared state manager to come together in";

    // 03: steps and requests.
    HANDLER_FAILED = "FF0301", "the flow's own code returned an error";
    REFUSED_BY_FLOW = "FF0302", "the flow's own code refused the request";
    NOT_JSON = "FF0303", "the input of a step is not the JSON that it expects";
    NOT_TEXT = "FF0304", "the input of a step is not text";
    PANICKED = "FF0305", "the flow's own code panicked";
    UNREACHABLE = "FF0306", "a function or a callback URL cannot be reached";
    INTERRUPTED = "FF0307", "a connection was lost before the answer was complete";
    UNUSABLE_ANSWER = "FF0308", "an answer cannot be understood";
    TIMEOUT = "FF0309", "a function or a callback URL did not answer in time";
    ERROR_ANSWER = "FF0310", "a function or a callback URL answered with an error";
    ANSWER_TOO_LARGE = "FF0311", "an answer is too large";
    UNDECODABLE_ANSWER = "FF0312", "an answer cannot be decoded";
    DEADLINE = "FF0313", "an invocation took too long";
    NOT_QUEUED = "FF0314", "the queue refuses the next phase";
    NOT_QUEUED_YET = "FF0315", "the next phase cannot be queued now";
    PAYLOAD_NOT_KEPT = "FF0316", "the state manager does not keep a payload";
    ASKED_TO_WAIT = "FF0317", "a function or a callback URL asks to be called again";
    BODY_TOO_LARGE = "FF0318", "the body of a request is too large";
    BODY_TOO_SLOW = "FF0319", "the body of a request did not arrive in time";
    BODY_INTERRUPTED = "FF0320", "the body of a request broke off";
    NO_ROOM = "FF0321", "there is no room for a request now";
    NEVER_ROOM = "FF0322", "a body needs more memory than there is for all";
    UNKNOWN_CODING = "FF0323", "the encoding of a body is not known";
    UNDECODABLE_BODY = "FF0324", "a body is not what its encoding says";
    DECODING_TOO_SLOW = "FF0325", "a body could not be decoded in time";
    BAD_CALLBACK_URL = "FF0326", "the callback URL of a request cannot be used";
    NOT_REPORTED = "FF0327", "the end of a request cannot be reported";
    INTERNAL = "FF0328", "the flow function itself failed";
    BAD_HEAD = "FF0329", "the head of a request is malformed";
    HEAD_TOO_LARGE = "FF0330", "the head of a request is too large";
    BRANCH_FAILED = "FF0331", "a branch of a graph or an item of a for-each failed";
    TOO_MANY_ITEMS = "FF0332", "a for-each has too many items";
    UNKNOWN_CHOICE = "FF0333", "a choice names no branch";

    // 04: envelopes and signatures.
    ENVELOPE_MALFORMED = "FF0401", "an envelope is malformed";
    ENVELOPE_VERSION = "FF0402", "an envelope has an unknown version";
    OTHER_FLOW = "FF0403", "an envelope belongs to another flow";
    OTHER_DEFINITION = "FF0404", "an envelope was made by another definition of the flow";
    NO_SUCH_PHASE = "FF0405", "an envelope is at a phase that does not exist";
    ENVELOPE_TOO_LARGE = "FF0406", "an envelope would be too large for the queue";
    SIGNATURE_MISSING = "FF0407", "the signature is missing";
    SIGNATURE_MALFORMED = "FF0408", "the signature has the wrong form";
    SIGNATURE_WRONG = "FF0409", "the signature does not fit";
    NO_KEY = "FF0410", "the flow has no key to verify with";
    DISGUISED_ENVELOPE = "FF0411", "an envelope was sent as an ordinary body";
    PAYLOAD_GONE = "FF0412", "the payload of a phase is gone";
    NO_STATE_MANAGER = "FF0413", "the payload of a phase is in a state manager that the flow does not have";
    IN_PROGRESS = "FF0414", "another delivery of the phase is still in progress";
    ID_TAKEN = "FF0415", "another request has this id";
    UNKNOWN_REQUEST = "FF0416", "the flow knows no request with this id";
    REQUEST_EXPIRED = "FF0417", "the record of a request has expired";
    BAD_API_REQUEST = "FF0418", "a request to the API of a flow function cannot be understood";
    NOT_POSSIBLE = "FF0419", "a request cannot do that in its status";
    NO_RECORDS = "FF0420", "the flow does not remember its requests";
    TOO_MANY_WAIT = "FF0421", "too many callers wait for requests to end";
    REQUEST_STOPPED = "FF0422", "someone stopped the request";
    SIGNED_TOO_LONG_AGO = "FF0423", "a request to the API of a flow function was signed too long ago";
    BAD_REQUEST_ID = "FF0424", "the id that a caller gave its request is not valid";
    UNREADABLE_RECORD = "FF0425", "the record of a request cannot be read";

    // 05: state.
    STATE_UNREACHABLE = "FF0501", "the state manager cannot be reached";
    STATE_REFUSED = "FF0502", "the state manager refuses a request";
    STATE_UNSUPPORTED = "FF0503", "the state manager cannot do what is asked";
    BAD_STATE_SETTING = "FF0504", "a setting of the state manager cannot be used";
    VALUE_TOO_LARGE = "FF0505", "a value is too large for the gateway's store";
    STORE_FULL = "FF0506", "the disk of the gateway's store is full";
    STORE_STORAGE = "FF0507", "the gateway's store cannot be written or read";
    STORE_UNUSABLE = "FF0508", "the file of the gateway's store cannot be used";
    STORE_CLOSED = "FF0509", "the gateway's store is closed";
    STORE_DENIED = "FF0510", "the gateway's store is only for functions that it knows";
    CONDITION_FAILED = "FF0511", "the condition of a write to the gateway's store does not hold";

    // 06: the queue.
    CALL_TOO_LARGE = "FF0601", "a call is too large for the queue";
    QUEUE_UNUSABLE = "FF0602", "the file of the queue cannot be used";
    QUEUE_FULL = "FF0603", "the disk of the queue is full";
    QUEUE_STORAGE = "FF0604", "the file of the queue cannot be written or read";
    QUEUE_CLOSED = "FF0605", "the queue is closed";

    // 07: the local gateway and its functions.
    GATEWAY_CANNOT_LISTEN = "FF0701", "the gateway cannot listen on its address";
    STATE_FOLDER = "FF0702", "the gateway cannot write its own folder";
    GATEWAY_FILE_UNREADABLE = "FF0703", "a file that the gateway needs cannot be read";
    SECRETS_MISSING = "FF0704", "functions name secrets that do not exist";
    SIGNING_KEY_EMPTY = "FF0705", "the gateway's key for signing is empty";
    CREDENTIAL_EMPTY = "FF0706", "the user or the password of the gateway is empty";
    USER_WITH_COLON = "FF0707", "the user of the gateway has a colon in its name";
    DEPLOYED_FUNCTION_UNREADABLE = "FF0708", "a deployed function cannot be read back";
    BUILD_FAILED = "FF0709", "cargo cannot build a function";
    FUNCTIONS_DO_NOT_RUN = "FF0710", "not all functions run";
    FUNCTION_BROKEN = "FF0711", "a function does not run until it is changed";
    UNKNOWN_FUNCTION = "FF0712", "the gateway has no function of this name";
    FUNCTION_BUSY = "FF0713", "a function is at its limit of requests";
    NO_ROUTE = "FF0714", "the gateway serves nothing at a path";
    WRONG_METHOD = "FF0715", "a path of the gateway does not take a method";
    BAD_CALL_ID = "FF0716", "the id of a call cannot be used";
    UNSUPPORTED_UPGRADE = "FF0717", "a request asks for another protocol";
    BAD_API_BODY = "FF0718", "the body of a request to the admin API cannot be used";
    BAD_API_PARAMETER = "FF0719", "a parameter of a request to the admin API cannot be used";
    UNKNOWN_NAMESPACE = "FF0720", "a namespace does not exist";
    BAD_DEPLOYMENT = "FF0721", "a function cannot be deployed as described";
    FUNCTION_EXISTS = "FF0722", "a function of this name exists already";
    FUNCTION_OF_STACK = "FF0723", "a function belongs to the stack file";
    NO_ENGINE = "FF0724", "the container engine does not answer", retired;
    BAD_SCALE = "FF0725", "a function cannot have this number of containers";
    NO_METRICS = "FF0726", "a function has no metrics";
    BAD_SECRET = "FF0727", "a secret has a name or a value that cannot be used";
    SECRET_EXISTS = "FF0728", "a secret of this name exists already";
    UNKNOWN_SECRET = "FF0729", "a secret does not exist";
    NOT_CONFIRMED = "FF0730", "the disk has not confirmed a change";
    FROM_WEB_PAGE = "FF0731", "a web page asks the gateway for a change";
    FOREIGN_HOST = "FF0732", "a request reaches the gateway under a foreign name";
    CONTAINERS_ONLY = "FF0733", "an address of the gateway is for containers only";
    GATEWAY_FAILED = "FF0734", "the gateway itself failed";
    REQUEST_LOOP = "FF0735", "a request comes back to the gateway again and again";
    BAD_NAME_IN_PATH = "FF0736", "no function can have the name in a path";
    NOT_A_FLOW = "FF0737", "a function does not answer about requests";

    // 08: stack files.
    BAD_STACK_FILE = "FF0801", "the stack file does not have the expected structure";
    NO_STACK_FILE = "FF0802", "there is no stack file";
    STACK_FILE_UNREADABLE = "FF0803", "a file of the stack cannot be read";
    NOT_UTF8 = "FF0804", "a file of the stack is not saved as UTF-8";
    NOT_YAML = "FF0805", "a file of the stack is not YAML";
    BAD_SUBSTITUTION = "FF0806", "a variable cannot be inserted into the stack file";
    BAD_FUNCTION_VALUE = "FF0807", "a function has a value that cannot be used";
    HOW_TO_RUN = "FF0808", "a function does not say how it runs";

    // 09: the command line.
    NO_GATEWAY = "FF0901", "no gateway can be reached";
    GATEWAY_REFUSES = "FF0902", "the gateway answered with an error";
    ACCESS_DENIED = "FF0903", "the gateway asks for another user and password";
    UNEXPECTED_ANSWER = "FF0904", "the gateway gave an unexpected answer";
    BAD_GATEWAY_OPTION = "FF0905", "the address of the gateway cannot be used";
    BAD_PATH = "FF0906", "the path of a request cannot be used";
    BAD_OPTION_HEADER = "FF0907", "a header of the command line cannot be sent";
    SIGNING_KEY_UNUSABLE = "FF0908", "the key of the command line cannot be used";
    FUNCTION_FAILED = "FF0909", "a function answered with an error";
    CHECK_FAILED = "FF0910", "a check found an error";
    DEMO_FAILED = "FF0911", "the demo did not end as expected";
    STOPPED = "FF0912", "the command was stopped before its end";
    NO_CHECKOUT = "FF0913", "there is no checkout of faasflow to work with";
    BAD_REPORT_URL = "FF0914", "the demo has no usable callback URL";
    BAD_NEW_NAME = "FF0915", "a new flow cannot have this name";
    EXISTS = "FF0916", "the folder or file of the new flow already exists";
    NOT_WRITTEN = "FF0917", "a file cannot be written";
    NOT_APPENDED = "FF0918", "the flow cannot be added to the stack file";
    NO_PROJECT = "FF0919", "there is no flow to draw";
    NO_DESCRIPTION = "FF0920", "there is no description of a flow";
    NO_SUCH_FUNCTION = "FF0921", "the stack file does not name the function";
    NO_LINES = "FF0922", "the gateway has no log lines of the request";
    NO_DEAD_LETTER = "FF0923", "a dead letter does not exist";
    NO_FOLDER = "FF0924", "a folder was expected";
    INPUT_OUTPUT = "FF0925", "the system refused to read or write";
    NO_SUCH_CODE = "FF0926", "the error code does not exist";
    NO_REQUEST = "FF0927", "no flow knows the request";
    NOT_ENDED = "FF0928", "a request has not ended in time";
    CANNOT_WAIT = "FF0929", "the command cannot wait for a request";
    NOT_CHANGED = "FF0930", "a flow refuses to change a request";
    NEEDS_YES = "FF0931", "nobody can be asked whether to go on";
    REQUEST_FAILED = "FF0932", "a request has failed or was stopped";
    NOT_AT_THIS_GATEWAY = "FF0933", "the gateway does not have what a page shows";

    // 10: container engines.
    NO_CONTAINER_ENGINE = "FF1001", "no container engine was found";
    ENGINE_UNREACHABLE = "FF1002", "the container engine does not answer";
    ENGINE_DENIED = "FF1003", "this user may not use the container engine";
    ENGINE_TIMEOUT = "FF1004", "the container engine did not answer in time";
    NOT_AN_ENGINE = "FF1005", "a server is not a container engine";
    ENGINE_REFUSED = "FF1006", "the container engine refused a request";
    NOT_IN_ENGINE = "FF1007", "a container, an image or a network does not exist";
    BAD_DOCKER_HOST = "FF1008", "`DOCKER_HOST` does not name an engine on this machine";
    IMAGE_NOT_PULLED = "FF1009", "an image cannot be pulled";
    SECRETS_NOT_MOUNTED = "FF1010", "the secrets of a function cannot be given to its containers";
    CONTAINER_NOT_READY = "FF1011", "a container does not take requests";
    CONTAINER_ENDED = "FF1012", "a container ended";
}

#[cfg(test)]
#[expect(unreachable_pub, reason = "the macro makes public constants")]
mod tests {
    use super::{Code, Entry};

    codes! {
        LIVE = "FF9901", "an error";
        GONE = "FF9902", "an error that nothing reports", retired;
    }

    #[test]
    fn only_a_marked_code_is_retired() {
        assert!(!LIVE.is_retired() && GONE.is_retired());
        assert_eq!(ALL.len(), 2);
    }
}
