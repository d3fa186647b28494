//! Turns the end of a process into an answer, lines of the log, and a cause for the dead letter.

use std::io;

use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};

use faasflow_core::code::{self, Code};
use faasflow_core::duration;
use faasflow_core::headers::{self, gateway_error};
use faasflow_http::is_out_of_files;

use super::excerpt::Excerpt;
use super::run::{Combine, Execution, How, Job, OUTPUT};
use crate::answer::refusal;
use crate::functions::{NoAnswer, group};

/// Why a command failed, in one line. It is an extension of the answer, for the dead letter.
#[derive(Clone, Debug)]
pub(crate) struct Cause(pub(crate) String);

impl Execution {
    fn succeeded(&self) -> bool {
        matches!(&self.how, How::Exited(status) if status.success())
    }

    /// Whether it was killed from outside: by an operator, or by the system when memory ran out. Unlike a crash, this
    /// is not its own failure, so it may be called again.
    fn was_killed(&self) -> bool {
        matches!(self.how, How::Exited(status) if group::was_killed(status))
    }

    /// The code of the error that an answer of this status is about.
    fn code(&self, status: StatusCode) -> Code {
        match &self.how {
            How::ExecTimeout(_) => code::TIMEOUT,
            How::Stopped => code::INTERRUPTED,
            How::NotStarted(error) if is_out_of_resources(error) => code::NO_ROOM,
            How::NotStarted(_) if status == StatusCode::SERVICE_UNAVAILABLE => code::UNREACHABLE,
            How::NotStarted(_) if status == StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => code::HEAD_TOO_LARGE,
            How::NotStarted(_) => code::FUNCTION_BROKEN,
            _ if self.was_killed() => code::INTERRUPTED,
            _ => code::FUNCTION_FAILED,
        }
    }

    /// How it ended, in a few words.
    fn how(&self, program: &str) -> String {
        match &self.how {
            How::Exited(status) => match status.code() {
                Some(code) => format!("exit status {code}"),
                None => status.to_string(),
            },
            How::Unknown(error) => format!("the system did not report how it ended: {error}"),
            How::NotStarted(error) => format!("`{program}` cannot be started: {error}"),
            How::NoRoom(full) => format!("killed: there is no memory for its output: {full}"),
            How::TooLarge => format!("killed: its output is larger than {OUTPUT} bytes"),
            How::ExecTimeout(limit) => {
                format!("killed: the function took longer than exec_timeout, {}", duration::format(*limit))
            }
            How::Timeout(limit) => format!("killed: it took longer than {}", duration::format(*limit)),
            How::Stopped => "killed: the gateway is stopping".to_owned(),
        }
    }

    /// A summary for the log, if nobody waits for the answer.
    pub(super) fn summary(&self, program: &str) -> String {
        format!("{} after {:.3} s, {} bytes of output", self.how(program), self.took.as_secs_f64(), self.output.len())
    }

    /// Logs a failure with the standard output, which might not be shown anywhere else. The standard error is in the log
    /// already.
    pub(super) fn log(&self, job: &Job) {
        if self.succeeded() {
            return;
        }
        for line in Excerpt::new(&self.output).text().lines() {
            job.log(line.to_owned());
        }
        job.log(format!("gateway: {}", self.how(job.program())));
    }

    /// The answer to the caller.
    ///
    /// # Errors
    ///
    /// If the gateway stopped waiting, or had no memory for the output. The caller of this function decides on the answer.
    pub(super) fn answer(self, job: &Job) -> Result<Response, NoAnswer> {
        if self.succeeded() {
            return Ok(self.success(job));
        }
        if let How::Timeout(limit) = self.how {
            return Err(NoAnswer::Timeout(limit));
        }
        if let How::NoRoom(full) = self.how {
            // It was executed, unlike a request for which there is no memory. It is only worth another execution if the lack is
            // temporary.
            let why = self.how(job.program());
            return Err(if full.is_temporary() { NoAnswer::Died(why) } else { NoAnswer::Unusable(why) });
        }
        let status = match &self.how {
            How::ExecTimeout(_) => StatusCode::REQUEST_TIMEOUT,
            How::Stopped => StatusCode::SERVICE_UNAVAILABLE,
            How::NotStarted(error) => not_started(error),
            _ if self.was_killed() => StatusCode::BAD_GATEWAY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let how = self.how(job.program());
        let mut text = how.clone() + "\n";
        if self.combine != Combine::Never {
            text.push_str(&self.complained.text());
        }
        let written = Excerpt::new(&self.output);
        text.push_str(&written.text());
        text.truncate(text.trim_end().len());
        let mut response = refusal(status, self.code(status), text);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
            if matches!(&self.how, How::NotStarted(error) if is_out_of_files(error)) {
                response.headers_mut().insert(headers::BUSY, HeaderValue::from_static("true"));
            }
        }
        if status == StatusCode::BAD_GATEWAY {
            response
                .headers_mut()
                .insert(headers::GATEWAY_ERROR, HeaderValue::from_static(gateway_error::FUNCTION_DIED));
        }
        // The caller does not see the dead letter, so its cause may include standard error.
        let last = self.complained.last_line().or_else(|| written.last_line());
        let cause = last.map_or_else(|| how.clone(), |last| format!("{how}: {last}"));
        response.extensions_mut().insert(Cause(cause));
        Ok(response)
    }

    fn success(mut self, job: &Job) -> Response {
        if self.combine == Combine::Always {
            self.output.splice(0..0, self.complaints);
        }
        let mut response = Response::new(Body::from(self.share.keep(self.output.into())));
        let fixed = job.variable("content_type").and_then(|value| HeaderValue::from_str(value).ok());
        if let Some(value) = fixed.or_else(|| job.content_type.clone()) {
            response.headers_mut().insert(CONTENT_TYPE, value);
        }
        if let Ok(value) = HeaderValue::from_str(&format!("{:.6}", self.took.as_secs_f64())) {
            response.headers_mut().insert("x-duration-seconds", value);
        }
        response
    }
}

/// The status for a program that cannot be started. A lack of files, processes or memory is temporary, and so is a program that
/// is being written. A program that does not exist, or arguments that are too large, will not change.
fn not_started(error: &io::Error) -> StatusCode {
    use io::ErrorKind::{ArgumentListTooLong, ExecutableFileBusy, Interrupted};

    match error.kind() {
        ArgumentListTooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        ExecutableFileBusy | Interrupted => StatusCode::SERVICE_UNAVAILABLE,
        _ if is_out_of_resources(error) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Whether the system had no memory, files or processes left.
fn is_out_of_resources(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::OutOfMemory | io::ErrorKind::WouldBlock) || is_out_of_files(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h6_a_failed_start_is_tried_again_only_if_that_may_help() {
        for passing in [libc::EAGAIN, libc::ENOMEM, libc::EMFILE, libc::ENFILE, libc::ETXTBSY, libc::EINTR] {
            let error = io::Error::from_raw_os_error(passing);
            assert_eq!(not_started(&error), StatusCode::SERVICE_UNAVAILABLE, "{error}");
            let lacks = ![libc::ETXTBSY, libc::EINTR].contains(&passing);
            assert_eq!(is_out_of_resources(&error), lacks, "{error}");
        }
        for lasting in
            [libc::ENOENT, libc::EACCES, libc::ENOTDIR, libc::ENOEXEC, libc::EISDIR, libc::ELOOP, libc::EPERM]
        {
            let error = io::Error::from_raw_os_error(lasting);
            assert_eq!(not_started(&error), StatusCode::INTERNAL_SERVER_ERROR, "{error}");
        }
        let error = io::Error::from_raw_os_error(libc::E2BIG);
        assert_eq!(not_started(&error), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
}
