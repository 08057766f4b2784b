//! The options with which a tool of the central side finds its broker.

use kakou_link::broker::{MqttVersion, Upstream};
use std::path::PathBuf;

/// Where the broker is and who we are there.
#[derive(clap::Args, Clone)]
pub struct Broker {
    /// mqtts://HOST:PORT, or mqtt://127.0.0.1:PORT.
    #[arg(long, value_name = "URL")]
    broker: String,
    /// Root certificates of the fleet, PEM.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Client certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Its key, PEM.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
    /// The version of MQTT.
    #[arg(long, value_name = "5|3.1.1", default_value = "5", value_parser = version)]
    mqtt: MqttVersion,
}

fn version(text: &str) -> Result<MqttVersion, String> {
    match text {
        "5" => Ok(MqttVersion::V5),
        "3.1.1" => Ok(MqttVersion::V311),
        _ => Err("write 5 or 3.1.1".into()),
    }
}

impl Broker {
    /// The settings, or what is wrong with them.
    pub fn settings(&self) -> Result<Upstream, String> {
        let identity = self.cert.clone().zip(self.key.clone());
        Upstream::tool(&self.broker, self.ca.clone(), identity, self.mqtt)
            .ok_or_else(|| format!("`{}`: write mqtts://HOST:8883 or mqtt://127.0.0.1:1883", self.broker))
    }
    /// For people.
    pub fn url(&self) -> &str {
        &self.broker
    }
}
