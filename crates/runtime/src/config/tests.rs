use super::*;

fn load(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let found = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    Config::load(|name| match name {
        "workflow_name" => Some(SettingValue { value: "flow".to_owned(), origin: String::new() }),
        name => Some(SettingValue { value: found(name)?, origin: String::new() }),
    })
}

#[test]
fn r4_the_drain_time_follows_the_watchdogs_healthcheck_interval() {
    let watchdog = ("upstream_url", "http://127.0.0.1:8082");
    for (variables, millis) in [
        (&[][..], 2_000),
        (&[("healthcheck_interval", "20s")], 2_000),
        (&[watchdog], 31_000),
        (&[("flow_port", "8082")], 31_000),
        (&[("http_upstream_url", "http://127.0.0.1:8082")], 31_000),
        (&[watchdog, ("write_timeout", "60s")], 61_000),
        (&[watchdog, ("write_timeout", "60s"), ("healthcheck_interval", "3s")], 4_000),
        (&[watchdog, ("healthcheck_interval", "5")], 6_000),
        (&[watchdog, ("healthcheck_interval", "0")], 1_000),
        // The watchdog treats values that it cannot read the same way.
        (&[watchdog, ("write_timeout", "60s"), ("healthcheck_interval", "often")], 61_000),
        (&[watchdog, ("healthcheck_interval", "3s"), ("drain_time", "500ms")], 500),
        (&[("drain_time", "0")], 0),
        (&[(SINGLE_PROCESS, "true")], 0),
        (&[(SINGLE_PROCESS, "true"), watchdog, ("healthcheck_interval", "3s")], 0),
    ] {
        let drain_time = load(variables).unwrap().drain_time;
        assert_eq!(drain_time, Duration::from_millis(millis), "{variables:?}");
    }
}

#[test]
fn r4_an_invalid_drain_time_is_named() {
    let fault = load(&[("drain_time", "soon")]).unwrap_err();
    let [fault] = fault.faults() else { panic!("{fault}") };
    assert_eq!(fault.to_string(), "`drain_time` is `soon`, which is not a valid duration");
    assert!(fault.help().starts_with("write a duration "), "{fault:?}");
    assert_eq!(fault.code().as_str(), "FF0205");
}

#[test]
fn the_default_store_is_for_flows_whose_settings_name_none() {
    let offered = (DEFAULT_STORE, "gateway");
    let default_store = |variables: &[(&str, &str)]| load(variables).unwrap().default_store;
    assert_eq!(default_store(&[offered]).as_deref(), Some("gateway"));
    for named in ["envelope", "redis"] {
        assert_eq!(default_store(&[offered, ("state_manager", named)]), None, "{named}");
    }
    assert_eq!(default_store(&[]), None);
}
