use serde_json::{Value, json};

/// The chain of a local network, asked by JSON-RPC.
pub struct Chain {
    url: String,
    vault: String,
    token: String,
}

impl Chain {
    /// The chain of the network with this manifest.
    pub fn of(manifest: &std::path::Path) -> Self {
        let text = std::fs::read_to_string(manifest).unwrap();
        let manifest: Value = serde_json::from_str(&text).unwrap();
        let evm = |name: &str| manifest["evm"][name].as_str().unwrap().to_owned();
        Self {
            url: evm("rpc_url"),
            vault: evm("payment_vault_address"),
            token: evm("payment_token_address"),
        }
    }

    fn ask(&self, method: &str, params: &Value) -> Value {
        let ask = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut answer = ureq::post(&self.url)
            .header("content-type", "application/json")
            .send(ask.to_string())
            .unwrap();
        let text = answer.body_mut().read_to_string().unwrap();
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert!(answer.get("error").is_none(), "{method}: {answer}");
        answer["result"].clone()
    }

    /// How often something was paid for, ever: a record, or a tree of records.
    pub fn payments(&self) -> usize {
        let filter = json!([{"fromBlock": "earliest", "toBlock": "latest", "address": self.vault}]);
        let logs = self.ask("eth_getLogs", &filter);
        logs.as_array().unwrap().len()
    }

    /// Transactions that a wallet has made, ever.
    pub fn transactions(&self, wallet: &str) -> u64 {
        let count = self.ask("eth_getTransactionCount", &json!([wallet, "latest"]));
        u64::from_str_radix(count.as_str().unwrap().trim_start_matches("0x"), 16).unwrap()
    }

    /// Gives a wallet gas.
    pub fn give_gas(&self, wallet: &str) {
        let one = format!("{:#x}", 1_000_000_000_000_000_000_u64);
        self.ask("anvil_setBalance", &json!([wallet, one]));
    }

    /// Gives a wallet tokens of the owner of all of them.
    pub fn give_tokens(&self, owner: &str, wallet: &str, parts: u128) {
        // transfer(address,uint256)
        let data = format!(
            "0xa9059cbb{:0>64}{parts:064x}",
            wallet.trim_start_matches("0x")
        );
        let send = json!([{"from": owner, "to": self.token, "data": data, "gas": "0x186a0"}]);
        self.ask("eth_sendTransaction", &send);
    }
}
