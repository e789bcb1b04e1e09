//! What is allowed and yet is probably not meant.

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::flow::{legs, reached};
use super::loops::matches;
use super::problem::{Notes, WarningPlace, quoted};
use super::regions;
use super::types::{
    AssumeRole, Buffer, Compression, Config, DiskBuffer, FirehoseSink, ForwardListen, ForwardSource,
    HttpSource, Packing, Route, SinkConfig, SinkKind, SourceConfig, Template, TemplateField, Tls,
};
use crate::event::Field;

/// Something to look at: the dotted key it concerns, and a sentence.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Warning {
    /// The dotted key.
    pub key: String,
    /// What it is, and what may be done.
    pub text: String,
    /// Where the key is written, or the nearest table around it.
    pub place: Option<WarningPlace>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(WarningPlace { origin, line_and_column }) = &self.place {
            f.write_str(origin)?;
            if let Some((line, column)) = line_and_column {
                write!(f, ":{line}:{column}")?;
            }
            f.write_str(": ")?;
        }
        write!(f, "{}: {}", self.key, self.text)
    }
}

/// All warnings about a configuration without errors.
pub(super) fn warnings(config: &Config, notes: &Notes) -> Vec<Warning> {
    let mut found = Found(Vec::new());
    found.sources(config);
    found.sinks(config);
    found.routes(config);
    for (file, key) in notes.secret_files() {
        found.readable_secret(key, &file);
    }
    for warning in &mut found.0 {
        warning.place = notes.place_of(&warning.key);
    }
    found.0
}

/// A shorter access key can be guessed by who may try as often as he likes.
const SHORTEST_KEY: usize = 16;

struct Found(Vec<Warning>);

impl Found {
    fn add(&mut self, key: impl Into<String>, text: impl Into<String>) {
        self.0.push(Warning { key: key.into(), text: text.into(), place: None });
    }

    fn sources(&mut self, config: &Config) {
        for (name, source) in &config.sources {
            if reached(config, name).is_empty() {
                self.add(
                    format!("sources.{name}"),
                    "reaches no sink, so nothing it reads is delivered; add a route",
                );
            }
            match source {
                SourceConfig::FirehoseHttp(http) => self.endpoint(name, http),
                SourceConfig::FluentForward(forward) => self.forward(name, forward),
                SourceConfig::File(file)
                    if file.include.iter().all(|glob| is_excluded(glob, &file.exclude)) =>
                {
                    self.add(
                        format!("sources.{name}.exclude"),
                        "shuts out every file that `include` names, so that nothing is read; take that glob out",
                    );
                }
                SourceConfig::File(_)
                | SourceConfig::Stdin(_)
                | SourceConfig::CloudwatchLogs(_)
                | SourceConfig::Kinesis(_)
                | SourceConfig::S3(_)
                | SourceConfig::Journald(_) => {}
            }
        }
    }

    fn endpoint(&mut self, name: &str, http: &HttpSource) {
        let public = !http.listen.ip().is_loopback();
        if public && http.access_keys.is_empty() {
            self.add(
                format!("sources.{name}.access_keys"),
                format!("is empty and `{}` is not loopback: anyone who reaches it may send; set one, such as `openssl rand -hex 32` makes", http.listen),
            );
        }
        for (index, access_key) in http.access_keys.iter().enumerate() {
            if access_key.expose().trim().len() < SHORTEST_KEY {
                self.add(
                    format!("sources.{name}.access_keys[{index}]"),
                    format!("is shorter than {SHORTEST_KEY} characters, and can be guessed; make one with `openssl rand -hex 32`"),
                );
            }
        }
        let listen = ForwardListen::Tcp(http.listen);
        self.listener(name, &listen, http.tls.as_ref());
    }

    fn forward(&mut self, name: &str, forward: &ForwardSource) {
        let key = format!("sources.{name}.shared_key");
        match &forward.shared_key {
            Some(secret) if secret.expose().trim().len() < SHORTEST_KEY => self.add(
                key,
                format!("is shorter than {SHORTEST_KEY} characters, and can be guessed; make one with `openssl rand -hex 32`"),
            ),
            None if !forward.listen.is_local() => self.add(
                key,
                format!("is missing and `{}` is not loopback: anyone who reaches it may send; set one, such as `openssl rand -hex 32` makes", forward.listen),
            ),
            Some(_) | None => {}
        }
        self.listener(name, &forward.listen, forward.tls.as_ref());
    }

    fn listener(&mut self, name: &str, listen: &ForwardListen, tls: Option<&Tls>) {
        match tls {
            Some(tls) => {
                self.present(format!("sources.{name}.tls.cert"), &tls.cert, "-----BEGIN CERTIFICATE-----");
                self.present(format!("sources.{name}.tls.key"), &tls.key, "PRIVATE KEY-----");
                self.readable_secret(format!("sources.{name}.tls.key"), &tls.key);
            }
            None if !listen.is_local() => self.add(
                format!("sources.{name}.tls"),
                format!("is missing and `{listen}` is not loopback: keys and logs arrive unencrypted; set it, or let a load balancer end TLS"),
            ),
            None => {}
        }
    }

    fn sinks(&mut self, config: &Config) {
        for (name, sink) in &config.sinks {
            let sources: Vec<&str> = config
                .sources
                .keys()
                .map(String::as_str)
                .filter(|source| reached(config, source).contains(name.as_str()))
                .collect();
            if sources.is_empty() {
                self.add(format!("sinks.{name}"), "no route leads here; name it in a route's `to`");
            }
            if sink.packing == Packing::Event && sink.compression != Compression::None {
                self.add(
                    format!("sinks.{name}.compression"),
                    "compresses each event separately, which saves little; `packing = \"lines\"` packs many",
                );
            }
            let (templates, files) = names_of(&sink.kind);
            self.small_buffer(name, sink, templates.iter().any(|(_, name)| name.fields().next().is_some()));
            for (key, template) in templates {
                self.template(&format!("sinks.{name}.{key}"), template, config, &sources);
            }
            for (key, file) in files {
                self.present(format!("sinks.{name}.{key}"), file, "-----BEGIN CERTIFICATE-----");
            }
            if let SinkKind::Firehose(firehose) = &sink.kind {
                self.regions(name, firehose);
            }
        }
    }

    /// A destination takes at least a segment, and another while the first is under way.
    fn small_buffer(&mut self, name: &str, sink: &SinkConfig, is_of_many: bool) {
        const EACH: u64 = 2 * 1024 * 1024;
        let most = sink.max_destinations as u64;
        match sink.buffer {
            Buffer::Disk(DiskBuffer { max, .. }) if is_of_many && max / EACH < most => self.add(
                format!("sinks.{name}.buffer.max"),
                format!(
                    "is too small for {most} destinations, which `max_destinations` allows: dead ones may stop the others; set at least `{}MiB`, or fewer destinations",
                    most.saturating_mul(2)
                ),
            ),
            Buffer::Disk(_) | Buffer::Memory => {}
        }
    }

    fn template(&mut self, key: &str, template: &Template, config: &Config, sources: &[&str]) {
        let lacking = |field: &TemplateField| {
            let lacks = |name: &&str| match field {
                TemplateField::Origin(field) => {
                    config.sources.get(*name).is_some_and(|source| !source.has_field(*field))
                }
                TemplateField::Label(label) => !config.has_label(name, label),
                TemplateField::SourceConfig | TemplateField::Host => false,
            };
            sources.iter().copied().filter(lacks).collect::<Vec<&str>>()
        };
        let fields = template.lacking();
        let Some((field, without)) =
            fields.map(|field| (field.clone(), lacking(&field))).find(|(_, without)| !without.is_empty())
        else {
            return;
        };
        let without = quoted(without);
        self.add(
            key,
            format!("uses `{{{field}}}`, which events of {without} lack: they go to the dead letters; take it out, or let a route lead those elsewhere"),
        );
    }

    fn routes(&mut self, config: &Config) {
        for (index, route) in config.routes.iter().enumerate() {
            let key = format!("routes[{index}]");
            let met = |source: &&String| route.covers(source);
            let is_open = |source: &String| {
                let same = |leg: &super::flow::Leg<'_>| leg.route.is_some_and(|(place, _)| place == index);
                legs(config, source).iter().any(|leg| same(leg) && !leg.sinks.is_empty())
            };
            if !config.sources.keys().filter(met).any(is_open) {
                self.add(key, "can never match: earlier routes take all its events; move it up");
                continue;
            }
            self.conditions(&key, route, config);
            self.labels(&key, route, config);
        }
    }

    /// Conditions on what a source's events never have.
    fn conditions(&mut self, key: &str, route: &Route, config: &Config) {
        let covered = || config.sources.iter().filter(|(name, _)| route.covers(name));
        let fields = Field::in_order().filter(|field| route.when.fields.contains_key(field)).map(Some);
        let attributes = (!route.when.attributes.is_empty()).then_some(None);
        for field in fields.chain(attributes) {
            let can_hold = |source: &SourceConfig| match field {
                Some(field) => source.has_field(field),
                None => match source {
                    SourceConfig::FirehoseHttp(_) => true,
                    SourceConfig::FluentForward(forward) => forward.ecs_metadata.is_some(),
                    SourceConfig::File(_)
                    | SourceConfig::Stdin(_)
                    | SourceConfig::CloudwatchLogs(_)
                    | SourceConfig::Kinesis(_)
                    | SourceConfig::S3(_)
                    | SourceConfig::Journald(_) => false,
                },
            };
            let never: Vec<&str> =
                covered().filter(|(_, source)| !can_hold(source)).map(|(name, _)| name.as_str()).collect();
            let all = never.len() == covered().count();
            if all || (!route.from.is_empty() && !never.is_empty()) {
                let never = quoted(never);
                let (condition, what) = match field {
                    Some(field) => (field.name(), what(field)),
                    None => ("attributes", "common attributes (they do not come from Firehose)".to_owned()),
                };
                self.add(
                    format!("{key}.when.{condition}"),
                    format!("can never match events of {never}, which have no {what}"),
                );
            }
        }
    }

    /// Conditions on labels that a source's events never have.
    fn labels(&mut self, key: &str, route: &Route, config: &Config) {
        for label in route.when.labels.keys() {
            let covered = || config.sources.keys().filter(|name| route.covers(name));
            let never: Vec<&str> =
                covered().filter(|name| !config.has_label(name, label)).map(String::as_str).collect();
            if never.len() == covered().count() || (!route.from.is_empty() && !never.is_empty()) {
                let never = quoted(never);
                let text = format!("can never match events of {never}, which have no `{label}`");
                self.add(format!("{key}.when.{label}"), text);
            }
        }
    }

    /// Regions that are not known, unless an endpoint of one's own may call itself as it likes.
    fn regions(&mut self, name: &str, firehose: &FirehoseSink) {
        let constant = |region: &Template| region.is_constant().then(|| region.to_string());
        let aws = &firehose.aws;
        let own = aws.region.as_ref().filter(|_| aws.endpoint_url.is_none()).and_then(constant);
        let of_role = |role: &AssumeRole| role.region.clone().filter(|_| role.sts_endpoint_url.is_none());
        let of_roles =
            aws.assume_role.iter().filter_map(of_role).map(|region| ("assume_role.region", region));
        for (key, region) in own.map(|region| ("region", region)).into_iter().chain(of_roles) {
            if let Some(text) = regions::unknown(&region) {
                self.add(format!("sinks.{name}.{key}"), text);
            }
        }
    }

    /// Whether a PEM file is there, and holds what it is for.
    fn present(&mut self, key: String, file: &Path, what: &str) {
        match fs::read(file) {
            Ok(pem) if memchr::memmem::find(&pem, what.as_bytes()).is_none() => {
                let what = what.trim_matches('-').trim_start_matches("BEGIN ").to_lowercase();
                self.add(
                    key,
                    format!("`{}` holds no {what} in PEM; `run` does not start with it", file.display()),
                );
            }
            Ok(_) => {}
            Err(error) => self.add(key, format!("`{}` cannot be read here: {error}", file.display())),
        }
    }

    fn readable_secret(&mut self, key: String, file: &Path) {
        const BY_OTHERS: u32 = 0o004;
        let Ok(metadata) = fs::metadata(file) else { return };
        if metadata.permissions().mode() & BY_OTHERS != 0 {
            let file = file.display();
            self.add(key, format!("is in `{file}`, which every user can read; `chmod o-r {file}`"));
        }
    }
}

fn what(field: Field) -> String {
    let why = if field.is_in_envelopes() { " (their `format` is not `envelope`)" } else { "" };
    format!("{}{why}", field.title())
}

type ByName<T> = Vec<(String, T)>;

/// Whether a glob for names, or for all below a folder, shuts out all that an include finds.
fn is_excluded(include: &str, exclude: &[String]) -> bool {
    let name = include.rsplit('/').next().unwrap_or_default();
    let is_plain = !name.contains(['*', '?', '[', '{', '\\']);
    exclude.iter().any(|glob| match glob.strip_suffix("/**") {
        Some(folder) => include.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')),
        None if glob.contains('/') => glob == include,
        None => glob == "*" || glob == name || (is_plain && matches(glob, Path::new(name))),
    })
}

/// What a sink names by templates, and the files it reads.
fn names_of(kind: &SinkKind) -> (ByName<&Template>, ByName<&PathBuf>) {
    match kind {
        SinkKind::Directory(directory) => (vec![("stream".to_owned(), &directory.stream)], Vec::new()),
        SinkKind::Firehose(firehose) => {
            let mut templates = vec![("stream".to_owned(), &firehose.stream)];
            templates.extend(firehose.aws.region.as_ref().map(|region| ("region".to_owned(), region)));
            for role in &firehose.aws.assume_role {
                templates.push(("assume_role.arn".to_owned(), &role.arn));
                templates.push(("assume_role.session_name".to_owned(), &role.session_name));
            }
            let files = firehose.aws.ca_file.iter().map(|file| ("ca_file".to_owned(), file)).collect();
            (templates, files)
        }
    }
}
