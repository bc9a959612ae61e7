"""One printer: from an idle moment over claim, transfer, permit and start to the reported outcome."""
