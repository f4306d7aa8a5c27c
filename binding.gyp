{
  "targets": [
    {
      "target_name": "longspan",
      "type": "none",
      "actions": [
        {
          "action_name": "build_native",
          "inputs": [],
          "outputs": ["<(PRODUCT_DIR)/longspan.always"],
          "action": ["node", "scripts/build-native.mjs"]
        }
      ]
    }
  ]
}
