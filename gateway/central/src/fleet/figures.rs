//! The fleet as OpenMetrics: what the page shows of each gateway, and how many have each alarm.

use super::Fleet;
use kakou_core::time::WallMs;
use kakou_gateway::metrics::Figures;
use serde_json::Value;
use std::collections::BTreeMap;

/// Shows every gateway that is known.
pub fn show(fleet: &Fleet, now: WallMs, f: &mut Figures) {
    let rows = fleet.rows(now);
    let mut alarms = BTreeMap::<&str, u32>::new();
    for row in rows["gateways"].as_array().into_iter().flatten() {
        let text = |key: &str| row[key].as_str().unwrap_or_default();
        let labels = [("site", text("site")), ("gateway", text("gateway"))];
        let online = row["online"].as_bool().map(u8::from);
        f.gauge(("fleet_gateway_online", "1 while a gateway says that it is there"), &labels, online);
        let help = "Since a gateway was heard last";
        f.gauge(("fleet_gateway_seen_seconds", help), &labels, row["seen_s"].as_f64());
        let help = "Age of the oldest event that a gateway has not sent";
        f.gauge(("fleet_gateway_oldest_seconds", help), &labels, row["oldest_s"].as_f64());
        let help = "Events of a gateway that the central side has not receipted";
        f.gauge(("fleet_gateway_unreceipted", help), &labels, row["unreceipted"].as_f64());
        let help = "Days that the certificate of a gateway still counts";
        f.gauge(("fleet_gateway_certificate_days", help), &labels, row["cert_days"].as_f64());
        let on: Vec<&str> =
            row["alarms"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for alarm in on {
            *alarms.entry(alarm).or_default() += 1;
            let labels = [labels[0], labels[1], ("alarm", alarm)];
            f.gauge(("fleet_alarm", "1 for each alarm of a gateway"), &labels, Some(1));
        }
    }
    for (alarm, gateways) in alarms {
        f.gauge(("fleet_alarms", "Gateways with an alarm"), &[("alarm", alarm)], Some(gateways));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kakou_gateway::metrics::figures;

    #[test]
    fn every_alarm_of_the_page_is_a_figure_with_site_and_gateway() {
        let mut fleet = Fleet::default();
        fleet.take("kakou/v1/s/g1/state", br#"{"online":true}"#, 1_000);
        fleet.take("kakou/v1/s/g2/state", br#"{"online":false}"#, 1_000);
        let text = figures(|f| show(&fleet, 61_000, f));
        let lines = |name: &str| {
            let of = |l: &&str| l.starts_with(&format!("{name}{{"));
            text.lines().filter(of).map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(
            lines("kakou_fleet_alarm")
                .contains(&"kakou_fleet_alarm{site=\"s\",gateway=\"g2\",alarm=\"OFFLINE\"} 1.0".into()),
            "{text}"
        );
        assert!(
            lines("kakou_fleet_alarms").contains(&"kakou_fleet_alarms{alarm=\"OFFLINE\"} 1.0".into()),
            "{text}"
        );
        let shown = |gateway: &str| {
            let rows = fleet.rows(61_000);
            let row = rows["gateways"].as_array().unwrap().iter().find(|r| r["gateway"] == gateway).unwrap();
            row["alarms"].as_array().unwrap().len()
        };
        assert_eq!(lines("kakou_fleet_alarm").len(), shown("g1") + shown("g2"), "{text}");
        assert_eq!(lines("kakou_fleet_gateway_seen_seconds").len(), 2);
    }
}
