//! What a configuration opens to others, or leaves without use, and is no mistake only where it was
//! meant.

use super::Config;

impl Config {
    /// What is worth a second look: the section of the configuration, and `what: why: what to do`.
    pub(crate) fn warnings(&self) -> Vec<(&'static str, String)> {
        let mut warnings = Vec::new();
        for (section, address) in
            [("ingest", self.ingest.ops_listen), ("flusher", self.flusher.ops_listen)]
        {
            if !address.ip().is_loopback() {
                let warning = format!(
                    "{section}.ops_listen = \"{address}\" is not on loopback: whoever reaches it sees metrics and states, without a token and without TLS: let nobody reach it but what watches the service"
                );
                warnings.push((section, warning));
            }
        }
        let listen = self.ingest.listen;
        if !listen.ip().is_loopback() && self.ingest.tls.is_none() {
            let warning = format!(
                "ingest.listen = \"{listen}\" is not on loopback and without TLS: tokens and events travel in the clear: give [ingest.tls], or have a proxy end TLS"
            );
            warnings.push(("ingest", warning));
        }
        warnings.extend(self.stream_warnings().into_iter().map(|it| ("ingest", it)));
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_open_to_others_is_said() {
        let mut config = Config::default();
        assert_eq!(config.warnings(), Vec::new());
        config.ingest.listen = "0.0.0.0:9600".parse().unwrap();
        config.ingest.ops_listen = "192.0.2.1:9601".parse().unwrap();
        config.flusher.ops_listen = "[::]:9602".parse().unwrap();
        let begins: Vec<_> = config
            .warnings()
            .iter()
            .map(|(_, it)| it.split(' ').next().unwrap().to_owned())
            .collect();
        assert_eq!(begins, ["ingest.ops_listen", "flusher.ops_listen", "ingest.listen"]);
        config.ingest.tls.certificate = Some("cert.pem".into());
        assert_eq!(config.warnings().len(), 2);
    }
}
