{#- Sale conditions of the two tapes and what a trade with each of them updates.

    Fields: name; letters of the CTA's tape (A, B); letters of the UTP's (C); numbers of the vendor that renumbers them;
    then, 1 or 0, what the SIPs' consolidated processing says: open and close, high and low, volume; then the same two
    prices for a bar within the day.

    Sources: CTS Multicast Output Specification and UTP Data Feed Services Specification, the tables of sale conditions
    ("consolidated update last / high-low / volume"); the numbers and the same table merged, /v3/reference/conditions
    (`sip_mapping`, `update_rules.consolidated`). "Last, under conditions" (the only trade of the day so far) is 0. Both
    speak of the day's prices. Within the day: trades of the extended hours (T) set prices, else there would be no bar
    there, and the corrected consolidated close (9), a message and no trade, sets none
    (docs.alpaca.markets/docs/market-data-faq and that vendor's answer on the difference). -#}
{% macro sale_condition_rules() -%}
{%- set rules = [
    ['regular', ['@', ' '], ['@', ' '], [0], 1, 1, 1, 1, 1],
    ['acquisition', [], ['A'], [1], 1, 1, 1, 1, 1],
    ['average price', ['B'], ['W'], [2], 0, 0, 1, 0, 0],
    ['automatic execution', ['E'], ['E'], [3], 1, 1, 1, 1, 1],
    ['bunched', [], ['B'], [4], 1, 1, 1, 1, 1],
    ['bunched sold', [], ['G'], [5], 0, 1, 1, 0, 1],
    ['CAP election', [], [], [6], 1, 1, 1, 1, 1],
    ['cash', ['C'], ['C'], [7], 0, 0, 1, 0, 0],
    ['cross', ['X'], ['X'], [9], 1, 1, 1, 1, 1],
    ['derivatively priced', ['4'], ['4'], [10], 0, 1, 1, 0, 1],
    ['distribution', [], ['D'], [11], 1, 1, 1, 1, 1],
    ['extended hours (form T)', ['T'], ['T'], [12], 0, 0, 1, 1, 1],
    ['extended hours, sold out of sequence', ['U'], ['U'], [13], 0, 0, 1, 0, 0],
    ['intermarket sweep', ['F'], ['F'], [14], 1, 1, 1, 1, 1],
    ['market center official close', ['M'], ['M'], [15], 0, 0, 0, 0, 0],
    ['market center official open', ['Q'], ['Q'], [16], 0, 0, 0, 0, 0],
    ['opening', ['O'], ['O'], [17, 25], 1, 1, 1, 1, 1],
    ['reopening', ['5'], ['5'], [18, 28], 1, 1, 1, 1, 1],
    ['closing', ['6'], ['6'], [8, 19], 1, 1, 1, 1, 1],
    ['next day', ['N'], ['N'], [20], 0, 0, 1, 0, 0],
    ['price variation', ['H'], ['H'], [21], 0, 0, 1, 0, 0],
    ['prior reference price', ['P'], ['P'], [22], 0, 1, 1, 0, 1],
    ['rule 127 or 155', ['K'], ['K'], [23, 24], 1, 1, 1, 1, 1],
    ['stopped stock', [], ['1'], [27], 1, 1, 1, 1, 1],
    ['seller', ['R'], ['R'], [29], 0, 0, 1, 0, 0],
    ['sold last', ['L'], ['L'], [30], 1, 1, 1, 1, 1],
    ['sold last, stopped stock', [], ['2'], [31], 1, 1, 1, 1, 1],
    ['sold out of sequence', ['Z'], ['Z'], [32], 0, 1, 1, 0, 1],
    ['sold out of sequence, stopped stock', [], ['3'], [33], 0, 1, 1, 0, 1],
    ['split trade', [], ['S'], [34], 1, 1, 1, 1, 1],
    ['stock option', [], [], [35], 1, 1, 1, 1, 1],
    ['yellow flag', [], ['Y'], [36], 1, 1, 1, 1, 1],
    ['odd lot', ['I'], ['I'], [37], 0, 0, 1, 0, 0],
    ['corrected consolidated close', ['9'], ['9'], [38], 1, 1, 0, 0, 0],
    ['trade-through exempt', ['8'], ['8'], [41], 1, 1, 1, 1, 1],
    ['contingent', ['V'], ['V'], [52], 0, 0, 1, 0, 0],
    ['qualified contingent', ['7'], ['7'], [53], 0, 0, 1, 0, 0],
    ['opening or reopening detail', ['G'], [], [55], 1, 1, 1, 1, 1],
] -%}
{{ return(rules) }}
{%- endmacro %}
