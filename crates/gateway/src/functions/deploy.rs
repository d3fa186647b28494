//! Adds, replaces and removes functions while the gateway runs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use faasflow_admin::Deployment;
use faasflow_core::code::{self, Code};
use faasflow_http::now_ms;
use http::StatusCode;
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::task::TaskTracker;

use crate::disk;
use crate::functions::container;
use crate::functions::deployment::{Runs, spec};
use crate::functions::process::{Launch, Order, supervise};
use crate::functions::storage::{Storage, StoredFunction};
use crate::functions::{Function, FunctionContext, Functions, RunError};
use crate::namespace::check_namespace;
use crate::stack::{FunctionSpec, Kind, RUN_ANNOTATION, Stack, URL_ANNOTATION, wrong_wish};
use crate::{private_file, secrets};

/// How long a deployment waits for its image to be pulled. `faas-cli` waits for a minute.
const PULL: Duration = Duration::from_secs(50);

/// What a deployment does about the function of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// There must be none yet.
    Add,
    /// There must be one, which the deployment replaces.
    Replace,
}

/// Adds, replaces and removes functions, on disk and in service.
#[derive(Debug)]
pub(crate) struct Deployments {
    functions: Functions,
    context: FunctionContext,
    storage: Storage,
    /// Where processes of deployed functions run.
    folder: PathBuf,
    /// The tasks that supervise processes and containers.
    tasks: TaskTracker,
    /// Held while a function changes on disk and in service, so that both agree.
    changing: Mutex<()>,
}

/// Why a change was refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) code: Code,
    pub(crate) text: String,
}

impl Refusal {
    fn new(status: StatusCode, code: Code, text: String) -> Refusal {
        Refusal { status, code, text }
    }

    /// Refuses a deployment that cannot run as it is described.
    fn invalid(text: String) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, code::BAD_DEPLOYMENT, text)
    }

    /// Refuses a deployment because of the engine or the image. The status is 503 if the engine could not be asked.
    fn from_engine(error: &RunError, text: String) -> Refusal {
        let status = match error.is_temporary() {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => StatusCode::BAD_REQUEST,
        };
        Refusal::new(status, error.code(), text)
    }
}

impl Deployments {
    pub(crate) fn new(folder: PathBuf, storage: Storage, context: FunctionContext, tasks: TaskTracker) -> Deployments {
        Deployments { functions: Functions::default(), context, storage, folder, tasks, changing: Mutex::default() }
    }

    pub(crate) fn functions(&self) -> &Functions {
        &self.functions
    }

    /// Puts the functions of the stack and earlier deployments in service. If both have a name, the stack wins, because
    /// its owner can see it.
    pub(crate) fn begin(&self, stack: &Stack, deployed: Vec<StoredFunction>) {
        for spec in stack.functions.values() {
            self.serve(Function::from_stack(spec.clone(), &self.context));
        }
        for StoredFunction { created_ms, deployment, runs, .. } in deployed {
            let name = deployment.service.clone();
            if stack.functions.contains_key(&name) {
                tracing::warn!("the function `{name}` of {} replaces the deployed one", stack.path.display());
                continue;
            }
            match spec(&deployment, &self.folder, runs) {
                Ok(spec) => {
                    for secret in secrets::absent(&spec, &self.context.secrets) {
                        // It existed when the function was deployed. The other functions still run.
                        tracing::warn!("the secret `{secret}` of the function `{name}` no longer exists");
                    }
                    self.serve(Function::deployed(spec, deployment, created_ms, &self.context, None));
                }
                Err(why) => tracing::error!("the deployed function `{name}` cannot run: {why}"),
            }
        }
    }

    /// Adds or replaces a function, which runs as `runs` says. Blocks until the change is on disk.
    pub(crate) fn deploy(&self, deployment: Deployment, runs: Runs, change: Change) -> Result<(), Refusal> {
        let spec = spec(&deployment, &self.folder, runs).map_err(Refusal::invalid)?;
        if let Some(program) = absent_program(&spec) {
            let engine = format!("it is to run as a process, not as a container (`{RUN_ANNOTATION}`)");
            return Err(not_here(program, &deployment.image, &engine));
        }
        let name = spec.name.clone();
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.deployed(&name)?;
        match (&before, change) {
            (Some(_), Change::Add) => {
                return Err(Refusal::new(
                    StatusCode::CONFLICT,
                    code::FUNCTION_EXISTS,
                    format!("the function `{name}` exists already: PUT replaces it"),
                ));
            }
            (None, Change::Replace) => return Err(absent(&name)),
            _ => {}
        }
        self.check_secrets(&spec)?;
        let created_ms = before.as_ref().map_or_else(now_ms, |before| before.created_ms);
        let confirmed = done(self.storage.write(&StoredFunction::new(created_ms, deployment.clone(), runs)))?;
        self.serve(Function::deployed(spec, deployment, created_ms, &self.context, before.as_deref()));
        confirmed.map_err(|error| unconfirmed(&format!("`{name}` was deployed"), &error))
    }

    /// Decides how a deployment runs. It runs as containers if the engine has its image or can pull it. If this machine
    /// has the function's program, nothing is pulled, because deployments of programs are written with a dummy image
    /// such as `--image none`.
    ///
    /// # Errors
    ///
    /// If the deployment says how it runs but cannot run that way, or if the image is not available.
    pub(crate) async fn settle(&self, deployment: &Deployment, change: Change) -> Result<Runs, Refusal> {
        let wish = deployment.annotation(RUN_ANNOTATION);
        let must = match wish {
            Some("container") => true,
            Some("process") => return Ok(Runs::Here),
            None => false,
            Some(other) => return Err(Refusal::invalid(wrong_wish(other).describe())),
        };
        if deployment.image.trim().is_empty() || (deployment.annotation(URL_ANNOTATION).is_some() && !must) {
            return if must {
                Err(Refusal::invalid(format!("`{RUN_ANNOTATION}` is `container`: name the image")))
            } else {
                Ok(Runs::Here)
            };
        }
        // The function as a process, if its program is on this machine.
        let process = deployment.process().and_then(|_| spec(deployment, &self.folder, Runs::Here).ok());
        let process = process.filter(|spec| absent_program(spec).is_none());
        let connected = match self.context.containers.connected().await {
            Ok(connected) => connected,
            Err(error) if must => {
                return Err(Refusal::from_engine(&error, error.describe()));
            }
            Err(_) if process.is_some() => return Ok(Runs::Here),
            Err(error) => {
                let here = spec(deployment, &self.folder, Runs::Here).map_err(Refusal::invalid)?;
                return match absent_program(&here) {
                    Some(program) => Err(not_here(program, &deployment.image, &error.describe())),
                    None => Ok(Runs::Here),
                };
            }
        };
        // Checked before the name of the image is sent to the engine.
        let checked = spec(deployment, &self.folder, Runs::Container);
        if let (Err(_), Some(_), false) = (&checked, &process, must) {
            return Ok(Runs::Here);
        }
        checked.map_err(Refusal::invalid)?;
        // faas-cli first tries to replace a function, even if none exists. Nothing is pulled for that.
        if change == Change::Replace && self.functions.find(&deployment.service).is_none() {
            return Err(absent(&deployment.service));
        }
        match connected.engine.image(&deployment.image).await {
            Ok(Some(_)) => Ok(Runs::Container),
            Ok(None) if process.is_some() && !must => Ok(Runs::Here),
            Ok(None) => {
                let pulling = container::pull(&connected.engine, &deployment.image);
                match tokio::time::timeout(PULL, pulling).await {
                    Ok(Err(error)) => Err(Refusal::from_engine(&error, error.describe())),
                    // A longer pull continues, and the state of the function shows it.
                    Ok(Ok(())) | Err(_) => Ok(Runs::Container),
                }
            }
            Err(_) if process.is_some() && !must => Ok(Runs::Here),
            Err(error) => {
                let error = RunError::from(error);
                let text = match error.is_temporary() {
                    true => error.describe(),
                    false => format!("the image `{}` cannot be used: {}", deployment.image, error.describe()),
                };
                Err(Refusal::from_engine(&error, text))
            }
        }
    }

    /// Removes a function. Calls `forget` with its name after it can no longer be found. Waits for the disk.
    pub(crate) fn remove(&self, name: &str, namespace: Option<&str>, forget: impl FnOnce(&str)) -> Result<(), Refusal> {
        check_namespace(namespace)
            .map_err(|why| Refusal::new(StatusCode::BAD_REQUEST, code::UNKNOWN_NAMESPACE, why))?;
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let function = self.deployed(name)?.ok_or_else(|| absent(name))?;
        let name = &function.spec.name;
        let confirmed = done(self.storage.remove(name))?;
        self.functions.remove(name);
        forget(name);
        confirmed.map_err(|error| unconfirmed(&format!("`{name}` was removed"), &error))
    }

    /// The deployed function of this name.
    fn deployed(&self, name: &str) -> Result<Option<Arc<Function>>, Refusal> {
        let found = self.functions.find(name);
        if found.as_ref().is_some_and(|function| function.deployment.is_none()) {
            let why = format!(
                "`{name}` comes from the stack file that this gateway was started with: change it there and start \
                 `faasflow up` again, or deploy under another name"
            );
            return Err(Refusal::new(StatusCode::CONFLICT, code::FUNCTION_OF_STACK, why));
        }
        Ok(found)
    }

    fn check_secrets(&self, spec: &FunctionSpec) -> Result<(), Refusal> {
        if let Some((path, error)) = secrets::unreadable(spec, &self.context.secrets) {
            let why = faasflow_core::Unreadable::from(error);
            let secret = path.file_name().unwrap_or_default().display();
            let text = format!("the secret `{secret}` cannot be read: {why}; {}", why.help());
            return Err(Refusal::new(StatusCode::BAD_REQUEST, code::GATEWAY_FILE_UNREADABLE, text));
        }
        let absent = secrets::absent(spec, &self.context.secrets);
        let Some(first) = absent.first() else { return Ok(()) };
        let names: Vec<String> = absent.iter().map(|secret| format!("`{secret}`")).collect();
        let why = format!(
            "secrets are missing: {}; create each, for example with `faas-cli secret create {first}`",
            names.join(", ")
        );
        Err(Refusal::new(StatusCode::BAD_REQUEST, code::SECRETS_MISSING, why))
    }

    fn serve(&self, function: Arc<Function>) {
        self.functions.put(&function);
        let (stop, events) = (self.context.stop.clone(), self.context.events.clone());
        match &function.spec.kind {
            Kind::Program(words) => {
                let (order, ordered) = unbounded_channel();
                let _ = order.send(Order::Run(Launch::from_words(words, &function.spec.folder)));
                self.tasks.spawn(supervise(function, ordered, stop, events));
            }
            Kind::Image(image) => {
                let (image, containers) = (image.clone(), self.context.containers.clone());
                self.tasks.spawn(container::supervise(function, image, containers, stop, events));
            }
            Kind::Command(_) => {
                if let Some(program) = absent_program(&function.spec) {
                    let line = format!(
                        "gateway: the program `{program}` is not on this machine, so calls will fail; install it, or \
                         correct `fprocess`"
                    );
                    function.logs.push(None, line);
                }
            }
            Kind::Cargo(_) | Kind::Url(_) => {}
        }
    }
}

/// The program of a function, if it is not on this machine. A deployment with such a program is refused. A function of the
/// stack file is served anyway, because the program may be installed later.
fn absent_program(spec: &FunctionSpec) -> Option<&str> {
    let (Kind::Command(words) | Kind::Program(words)) = &spec.kind else { return None };
    let program = words.first()?;
    let is_there = if program.contains(std::path::is_separator) {
        is_program(&spec.folder.join(program))
    } else {
        let path = spec.environment.get("PATH").cloned().or_else(|| crate::environment::variable("PATH"));
        std::env::split_paths(&path.unwrap_or_default()).any(|folder| is_program(&folder.join(program)))
    };
    (!is_there).then_some(program)
}

/// Whether there is a program of this name. On Windows, `.exe` may be left out.
fn is_program(path: &Path) -> bool {
    let mut whole = path.as_os_str().to_owned();
    whole.push(std::env::consts::EXE_SUFFIX);
    path.is_file() || Path::new(&whole).is_file()
}

/// Refuses a deployment that could run neither as a process nor as a container; `engine` says why not as a container.
fn not_here(program: &str, image: &str, engine: &str) -> Refusal {
    let image = if image.is_empty() {
        "no image was named".to_owned()
    } else {
        format!("the image `{image}` cannot be run: {engine}")
    };
    let why = format!(
        "`{program}` is not on this machine, and {image}; deploy a program that is here, with its full path in `envProcess` \
         (`fprocess`) and the variable `mode` set to `http` if it serves HTTP, or start `faasflow up` with the stack file, \
         which builds flows and other cargo projects"
    );
    Refusal::invalid(why)
}

fn absent(name: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, code::UNKNOWN_FUNCTION, format!("the function `{name}` is not deployed"))
}

/// Separates changes that were not made from those that were made but not confirmed. The latter are kept, because undoing them
/// would need the same disk.
fn done(confirmed: io::Result<()>) -> Result<io::Result<()>, Refusal> {
    match confirmed {
        Err(error) if !private_file::is_done(&error) => {
            let why = format!("nothing was changed: it could not be written: {error}");
            Err(Refusal::new(disk::status(&error), code::STATE_FOLDER, why))
        }
        confirmed => Ok(confirmed),
    }
}

fn unconfirmed(what: &str, error: &io::Error) -> Refusal {
    let why = format!("{what}, but the disk has not confirmed it, and may forget it if this machine stops: {error}");
    tracing::error!("{why}");
    Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, code::NOT_CONFIRMED, why)
}

#[cfg(test)]
mod tests {
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::functions::logs::Journal;

    #[test]
    fn a_change_that_the_disk_does_not_confirm_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(folder.path().join("functions")).unwrap();
        let context = FunctionContext {
            gateway: String::new(),
            store: "http://127.0.0.1:8080".to_owned(),
            tokens: crate::tokens::Tokens::from(&[0; 32]),
            secrets: folder.path().to_owned(),
            memory: 1 << 30,
            containers: container::Containers::none(),
            events: unbounded_channel().0,
            journal: Journal::new(unbounded_channel().0),
            stop: CancellationToken::new(),
        };
        let deployments = Deployments::new(folder.path().to_owned(), storage.clone(), context, TaskTracker::new());
        let command = |command: &str| Deployment {
            service: "f".to_owned(),
            env_process: Some(command.to_owned()),
            ..Deployment::default()
        };
        let text_of = |outcome: Result<(), Refusal>| {
            let refusal = outcome.unwrap_err();
            assert_eq!(refusal.status, StatusCode::INTERNAL_SERVER_ERROR);
            refusal.text
        };
        // The command in service, and the one on disk.
        let process =
            || deployments.functions().find("f").and_then(|function| function.deployment.clone()?.env_process);
        let on_disk = || storage.read().unwrap().pop().and_then(|confirmed| confirmed.deployment.env_process);
        for (change, words) in [(Change::Add, "cat"), (Change::Replace, "cat -n")] {
            let why = text_of(private_file::faulty::during(|| deployments.deploy(command(words), Runs::Here, change)));
            assert!(why.starts_with("`f` was deployed, but the disk has not confirmed it"), "{why}");
            assert_eq!((process().as_deref(), on_disk().as_deref()), (Some(words), Some(words)));
        }
        let mut forgotten = None;
        let forget = |name: &str| forgotten = Some(name.to_owned());
        let why = text_of(private_file::faulty::during(|| deployments.remove("f.openfaas-fn", None, forget)));
        assert!(why.starts_with("`f` was removed, but the disk has not confirmed it"), "{why}");
        assert_eq!((process(), on_disk(), forgotten.as_deref()), (None, None, Some("f")));

        // A folder takes the place of the file.
        std::fs::create_dir(folder.path().join("functions/f.json")).unwrap();
        let why = text_of(deployments.deploy(command("cat"), Runs::Here, Change::Add));
        assert!(why.starts_with("nothing was changed"), "{why}");
        assert_eq!(process(), None);
    }
}
